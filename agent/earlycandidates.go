package agent

import (
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

// earlyClients is the number of clients whose early candidates are kept.
const earlyClients = 64

// earlyCandidates keeps, in order, the candidates of clients that have no session yet. The service does not promise to
// deliver the offer first.
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

// take returns and removes the candidates kept for a client.
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
