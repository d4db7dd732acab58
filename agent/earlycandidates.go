package agent

import (
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

// earlyClients is of how many clients something is kept that came too early.
const earlyClients = 64

// earlyCandidates keeps candidates of clients that have no session yet, in order. The service does not promise that an
// offer comes first.
type earlyCandidates struct {
	limits   config.SignalingLimits
	byClient map[string]*early
}

type early struct {
	since      time.Time
	candidates []peer.Signal
}

func (e *earlyCandidates) keep(client string, c peer.Candidate, now time.Time) {
	if e.byClient == nil {
		e.byClient = map[string]*early{}
	}
	for id, x := range e.byClient {
		if now.Sub(x.since) > e.limits.EarlyLife {
			delete(e.byClient, id)
		}
	}
	x := e.byClient[client]
	if x == nil {
		if len(e.byClient) >= earlyClients {
			return
		}
		x = &early{since: now}
		e.byClient[client] = x
	}
	if len(x.candidates) < e.limits.EarlyCandidates {
		x.candidates = append(x.candidates, c)
	}
}

// take gives what was kept for a client, and forgets it.
func (e *earlyCandidates) take(client string) []peer.Signal {
	x := e.byClient[client]
	if x == nil {
		return nil
	}
	delete(e.byClient, client)
	if time.Since(x.since) > e.limits.EarlyLife {
		return nil
	}
	return x.candidates
}
