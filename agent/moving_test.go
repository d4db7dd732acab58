package agent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/status"
)

// relayed begins a peer connection that goes through the service's TURN server.
func (r *remote) relayed(offer bool) *view {
	return r.connect(peer.Config{Offer: offer, RelayOnly: true,
		ICEServers: func(ctx context.Context) (out []peer.ICEServer) {
			servers, err := r.client.ICEServers(ctx)
			if err != nil {
				r.t.Error(err)
			}
			for _, s := range servers {
				out = append(out, peer.ICEServer{URLs: s.URLs[:1], Username: s.Username, Credential: s.Password})
			}
			return out
		}}, nil)
}

// TestTURNServersMove: when the service moves its TURN servers, the side that makes the offers moves the sessions that
// use them. A viewer that does not take part is ended, so that it reconnects. The other sessions are not affected.
func TestTURNServersMove(t *testing.T) {
	for _, tt := range []struct {
		name, channel string
		viewerOffers  bool
	}{
		{"viewers offer", gate, true},
		{"the master offers", "channels:\n  gate: {source: pattern, create: true, offer_to: [direct, moving, deaf]}\n",
			false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := service(t)
			a, _ := start(t, parse(t, s, tt.channel))
			direct, moving, deaf := join(t, s, "gate", "direct"), join(t, s, "gate", "moving"), join(t, s, "gate",
				"deaf")
			v, w, x := direct.connect(peer.Config{Offer: tt.viewerOffers},
				nil), moving.relayed(tt.viewerOffers), deaf.relayed(tt.viewerOffers)
			for _, view := range []*view{v, w, x} {
				view.plays(t, 5)
			}
			deaf.deaf.Store(true)
			before, offers := peers(a), moving.offers.Load()
			if before["direct"].Remote == "relay" || before["moving"].Remote != "relay" ||
				before["deaf"].Remote != "relay" {
				t.Fatalf("paths: %+v", before)
			}
			if n, err := s.Act(localkvs.Action{Do: "reconnect_ice"}); n != 4 || err != nil {
				t.Fatalf("%d clients told, %v", n, err)
			}
			eventually(t, "the deaf session is over, and the agent says why", func() bool {
				return strings.Contains(reasons(a, "gate"), "the relay is about to shut down")
			})
			if tt.viewerOffers {
				if got := x.ended(t); got != peer.ErrEnded.Error() {
					t.Errorf("the deaf viewer's end is %q, want that it was told", got)
				}
			}
			v.plays(t, 15)
			w.plays(t, 15)
			after := peers(a)
			for _, id := range []string{"direct", "moving"} {
				if after[id].Session != before[id].Session {
					t.Errorf("session of %s: %q became %q", id, before[id].Session, after[id].Session)
				}
			}
			if d, m := direct.offers.Load(), moving.offers.Load()-offers; d > 1 || m != 1 {
				t.Errorf("%d offers in the direct session, %d more in the relayed one; want one at most and one", d, m)
			}
			if n := len(channel(a, "gate").Ended); n != 1 {
				t.Errorf("%d sessions ended: %s", n, reasons(a, "gate"))
			}
			if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
				t.Errorf("the direct viewer lost %d packets", r.Receiving[0].Lost)
			}
		})
	}
}

// peers returns the sessions of gate by client.
func peers(a *agent.Agent) map[string]status.Peer {
	out := map[string]status.Peer{}
	for _, p := range channel(a, "gate").Peers {
		out[p.ClientID] = p
	}
	return out
}

// TestTURNServersDown: viewers that need no TURN server do not wait for servers that do not answer, whoever named them.
func TestTURNServersDown(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	page := join(t, s, "gate", "direct")
	first := func() time.Duration {
		began := time.Now()
		page.watch().plays(t, 1)
		return time.Since(began)
	}
	control := first()
	s.SetFaults(localkvs.Faults{TURNDown: true})
	if took := first(); took > 4*control+time.Second {
		t.Errorf("the first picture took %v, and %v with the servers", took, control)
	}
	if p := session(t, a, "gate"); p.Local == "relay" || p.Remote == "relay" {
		t.Errorf("path %s/%s", p.Local, p.Remote)
	}
}

// TestNoTURNServers: the service does not list its TURN servers, and viewers are served without.
func TestNoTURNServers(t *testing.T) {
	s := service(t)
	s.SetFaults(localkvs.Faults{Calls: localkvs.Refusal{Status: 500, Type: "InternalFailure",
		Calls: []string{"GetIceServerConfig"}}})
	start(t, parse(t, s, gate))
	join(t, s, "gate", "direct").watch().plays(t, 5)
}

// TestRefusedOffer: an offer that the service refuses ends its session, with the reason, and no other session.
func TestRefusedOffer(t *testing.T) {
	s := serviceWith(t, localkvs.Options{Readings: localkvs.Readings{RefuseAbsent: true}})
	a, _ := start(t, parse(t, s, "channels:\n  gate: {source: pattern, create: true, offer_to: absent}\n"))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	before := peers(a)["tablet"]
	eventually(t, "the offer is refused twice", func() bool {
		return strings.Count(reasons(a, "gate"), "the service refused our SDP_OFFER") >= 2
	})
	v.plays(t, 15)
	if after := peers(a)["tablet"]; after.Session != before.Session {
		t.Errorf("session %s became %q", before.Session, after.Session)
	}
	for _, e := range channel(a, "gate").Ended {
		if e.ClientID != "absent" || !strings.Contains(e.Reason, "ResourceNotFoundException") {
			t.Errorf("ended: %+v", e)
		}
	}
	if n := channel(a, "gate").Refused; n < 2 {
		t.Errorf("%d refusals counted", n)
	}
}
