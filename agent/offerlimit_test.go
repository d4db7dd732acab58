package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
)

func TestOfferLimit(t *testing.T) {
	start := time.Unix(0, 0)
	count := func(g *offerLimit, n int, at time.Duration, client func(int) string) (taken int) {
		for i := range n {
			if reason, _ := g.take(client(i), start.Add(at)); reason == "" {
				taken++
			}
		}
		return taken
	}
	offers := config.OfferLimits{PerSecond: 5, Burst: 10, ClientEvery: 2 * time.Second, ClientBurst: 3}
	one := func(int) string { return "tablet" }
	each := func(i int) string { return fmt.Sprint(i) }
	for _, tt := range []struct {
		name   string
		client func(int) string
		after  time.Duration
		want   int
	}{
		{"one client at once", one, 0, offers.ClientBurst},
		{"one client, two seconds after", one, 2 * time.Second, offers.ClientBurst + 1},
		{"many clients at once", each, 0, offers.Burst},
		{"many clients, a second after", each, time.Second, offers.Burst + offers.PerSecond},
	} {
		g := offerLimit{limits: offers}
		got := count(&g, 100, 0, tt.client)
		if tt.after > 0 {
			got += count(&g, 100, tt.after, tt.client)
		}
		if got != tt.want {
			t.Errorf("%s: %d offers were taken, want %d", tt.name, got, tt.want)
		}
	}
	g := offerLimit{limits: offers}
	for range offers.ClientBurst {
		g.take("tablet", start)
	}
	if reason, wait := g.take("tablet", start.Add(time.Second/2)); reason == "" || wait != 3*time.Second/2 {
		t.Errorf("half a second after a burst: %q, wait %v; want 1.5 s", reason, wait)
	}
	for i := range 10_000 {
		g.take(fmt.Sprint(i), start.Add(time.Duration(i)*200*time.Millisecond))
	}
	if n := len(g.clients); n > offersClients {
		t.Errorf("%d clients are kept in mind, at most %d should be", n, offersClients)
	}
}
