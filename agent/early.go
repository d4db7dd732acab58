package agent

import (
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// What is kept of candidates that come before the offer they belong to. The service does not promise an order.
const (
	earlyClients   = 64
	earlyPerClient = 32
	earlyLife      = 20 * time.Second
)

// earlyCandidates keeps candidates of clients that have no session yet, in order.
type earlyCandidates struct{ byClient map[string]*early }

type early struct {
	since      time.Time
	candidates []peer.Signal
}

func (e *earlyCandidates) keep(client string, c peer.Candidate, now time.Time) {
	if e.byClient == nil {
		e.byClient = map[string]*early{}
	}
	for id, x := range e.byClient {
		if now.Sub(x.since) > earlyLife {
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
	if len(x.candidates) < earlyPerClient {
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
	if time.Since(x.since) > earlyLife {
		return nil
	}
	return x.candidates
}
