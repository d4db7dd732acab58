package agent_test

import (
	"context"
	"testing"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/peer"
)

// TestOldOfferOfAVanishedViewer: a page offers while no master is there, vanishes, and comes again under the same
// client ID. The service keeps both offers. The answer to the first must not be taken for that to the second.
func TestOldOfferOfAVanishedViewer(t *testing.T) {
	s := service(t)
	cfg := parse(t, s, gate)
	serve := func() (*agent.Agent, func()) {
		a := agent.New(agent.Options{Version: "test", Log: logger("agent")})
		return a, run(t, func(ctx context.Context) {
			if err := a.Run(ctx, cfg, nil); err != nil {
				t.Error(err)
			}
		})
	}
	a, stop := serve()
	connected(t, a, "gate")
	page := join(t, s, "gate", "tablet")
	stop()

	offered := func() *view {
		sent := make(chan struct{}, 1)
		v := page.connect(peer.Config{Offer: true, Certificates: &peer.Certificates{}},
			func(s peer.Signal) []peer.Signal {
				if _, ok := s.(peer.Offer); ok {
					sent <- struct{}{}
				}
				return []peer.Signal{s}
			})
		<-sent
		eventually(t, "the offer is with the service", func() bool { return page.client.Report().Queued == 0 })
		return v
	}
	offered().stop()
	v := offered()
	a, _ = serve()
	connected(t, a, "gate")
	v.plays(t, 5)
	if n := len(channel(a, "gate").Ended); n != 0 {
		t.Errorf("%d sessions have ended: %s", n, reasons(a, "gate"))
	}
}
