package agent_test

import (
	"errors"
	"testing"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/status"
)

// TestOfferOnRequest: a master makes one offer to a client that is not in offer_to.
func TestOfferOnRequest(t *testing.T) {
	s := service(t)
	a, _ := start(t,
		parse(t, s,
			"channels:\n  gate: {source: pattern, create: true, max_viewers: 1}\n  yard: {role: viewer, create: "+
				"true, client_id: other, wait_for_offer: true}\n"))
	refused := func(channel, client string, want int) {
		t.Helper()
		var p *status.Problem
		if err := a.Offer(t.Context(), channel, client); !errors.As(err, &p) || p.Status != want {
			t.Errorf("Offer(%q, %q) = %v, want a problem with status %d", channel, client, err, want)
		}
	}
	refused("tower", "tablet", 404)
	refused("yard", "tablet", 409)
	refused("gate", "no/id", 400)
	refused("gate", "", 400)
	v := join(t, s, "gate", "tablet").connect(peer.Config{}, nil)
	if err := a.Offer(t.Context(), "gate", "tablet"); err != nil {
		t.Fatal(err)
	}
	v.plays(t, 5)
	if p := session(t, a, "gate"); p.Offerer != "us" || p.ClientID != "tablet" {
		t.Errorf("session = %+v, want one that we offered to the tablet", p)
	}
	refused("gate", "tablet", 409) // there is a session
	refused("gate", "phone", 503)  // max_viewers
	v.stop()
	eventually(t, "the session is over, and no other begins", func() bool {
		c := channel(a, "gate")
		return len(c.Peers) == 0 && len(c.Ended) == 1
	})
}
