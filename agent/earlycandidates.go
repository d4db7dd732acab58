package agent

import (
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

// earlyClients is the number of clients whose early candidates are kept.
const earlyClients = 64

// earlyCandidates keeps, in order, the candidates of clients that have no session yet. The service does not promise to
// deliver the offer first. A page that is reloaded under the same client ID leaves candidates behind that belong to no
// offer to come; they take nobody's place.
type earlyCandidates struct {
	limits   config.SignalingLimits
	byClient map[string][]earlyCandidate
}

type earlyCandidate struct {
	peer.Candidate
	ufrag string // of its description, "" when it does not say
	at    time.Time
}

func (e *earlyCandidates) keep(client string, c peer.Candidate, now time.Time) {
	if e.byClient == nil {
		e.byClient = map[string][]earlyCandidate{}
	}
	for id := range e.byClient {
		e.without(id, func(x earlyCandidate) bool { return now.Sub(x.at) > e.limits.EarlyLife })
	}
	kept, known := e.byClient[client]
	if !known && len(e.byClient) >= earlyClients {
		return
	}
	one := earlyCandidate{c, c.Ufrag(), now}
	if len(kept) >= e.limits.EarlyCandidates {
		// The oldest of another description gives way. Who does not say which description is his may have reloaded.
		i := slices.IndexFunc(kept, func(x earlyCandidate) bool { return one.ufrag == "" || x.ufrag != one.ufrag })
		if i < 0 {
			return
		}
		kept = slices.Delete(kept, i, i+1)
	}
	e.byClient[client] = append(kept, one)
}

// take returns the candidates kept for a client, and removes them. With an offer it returns only those that may belong
// to it.
func (e *earlyCandidates) take(client, offer string) (out []peer.Signal) {
	for _, x := range e.byClient[client] {
		if time.Since(x.at) > e.limits.EarlyLife || offer != "" && x.ufrag != "" && !peer.HasUfrag(offer, x.ufrag) {
			continue
		}
		out = append(out, x.Candidate)
	}
	delete(e.byClient, client)
	return out
}

// drop forgets the candidates of an offer that will not be taken.
func (e *earlyCandidates) drop(client, offer string) {
	e.without(client, func(x earlyCandidate) bool { return x.ufrag != "" && peer.HasUfrag(offer, x.ufrag) })
}

// without forgets candidates of a client, and the client with the last of them.
func (e *earlyCandidates) without(client string, gone func(earlyCandidate) bool) {
	kept := slices.DeleteFunc(e.byClient[client], gone)
	if len(kept) == 0 {
		delete(e.byClient, client)
		return
	}
	e.byClient[client] = kept
}

// offerIn is the text of the offer among signals; "" when there is none.
func offerIn(signals []peer.Signal) string {
	for _, s := range signals {
		if o, ok := s.(peer.Offer); ok {
			return o.SDP
		}
	}
	return ""
}
