package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestNetworkChanges: what becomes of a picture when the camera's network changes under it.
func TestNetworkChanges(t *testing.T) {
	t.Parallel()
	plain := func(n *rig.Internet) { n.Plug("cam", 1, ""); n.Plug("view", 2, "") }
	routed := func(n *rig.Internet) { n.Plug("cam", 1, rig.RouterRules("", "")); n.Plug("view", 2, "") }
	offers := "source: pattern, create: true, offer_to: tablet"
	address := func(n *rig.Internet) {
		// First, or the kernel takes the second of one network with it.
		n.In("cam", "ip", "addr", "del", "203.0.113.11/24", "dev", "wan")
		n.In("cam", "ip", "addr", "add", "203.0.113.21/24", "dev", "wan")
	}
	route := func(n *rig.Internet) { n.In("cam", "ip", "route", "replace", "default", "via", "10.4.0.1") }
	down := func(d time.Duration) func(*rig.Internet) {
		return func(n *rig.Internet) {
			n.In("cam", "ip", "link", "set", "eth", "down")
			time.Sleep(d) // the fault itself
			n.In("cam", "ip", "link", "set", "eth", "up")
			n.In("cam", "ip", "route", "add", "default", "via", "10.1.0.1")
		}
	}
	for _, tt := range []struct {
		name    string
		world   func(*rig.Internet)
		change  func(*rig.Internet)
		servers []string
		channel string // of the camera
		lasts   time.Duration
		most    time.Duration // without a picture
		path    string        // afterwards
	}{
		{"another address", plain, address, nil, "", 12 * time.Second, 3 * time.Second, "host|prflx"},
		{"another address, camera offers", plain, address, nil, offers, 12 * time.Second, 3 * time.Second,
			"host|prflx"},
		{"another route", func(n *rig.Internet) { n.TwoLinks(rig.RouterRules("", "")); n.Plug("view", 2, "") }, route,
			[]string{rig.StunURL}, "", 12 * time.Second, 3 * time.Second, "prflx|srflx"},
		{"another route, viewer behind a router",
			func(n *rig.Internet) { n.TwoLinks(rig.RouterRules("", "")); n.Plug("view", 2, rig.RouterRules("", "")) },
			route, []string{rig.StunURL}, "", 20 * time.Second, 9 * time.Second, "prflx|srflx"},
		{"another route, relay, camera offers", func(n *rig.Internet) {
			n.TwoLinks(rig.RouterRules("fully-random", ""))
			n.Plug("view", 2, rig.RouterRules("fully-random", ""))
		},
			route, []string{rig.StunURL, rig.TurnUDP}, offers, 20 * time.Second, 9 * time.Second, "relay"},
		{"down for 20 s", routed, down(20 * time.Second), []string{rig.StunURL}, "", 35 * time.Second, 24 * time.Second,
			"prflx|srflx"},
		{"down for 30 s", routed, down(30 * time.Second), []string{rig.StunURL}, "", 60 * time.Second, 45 * time.Second,
			"prflx|srflx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := rig.NewInternet(t)
			n.Channel = tt.channel
			tt.world(n)
			env := n.Serve(tt.servers)
			dev := "wan"
			if n.Routed["view"] {
				dev = "eth"
			}
			watch := n.Measure(dev)
			var changed time.Time
			w := n.View(env, tt.servers, tt.lasts.String(), func() {
				time.Sleep(5 * time.Second) // some seconds of a picture
				changed = time.Now()
				tt.change(n)
			})
			usual, took := rig.LongestPauses(t, watch, changed)
			most := max(tt.most, 10*usual)
			t.Logf("no picture for %v, before the change %v; then the path was %s", took, usual, w.Path)
			ok := false
			for want := range strings.SplitSeq(tt.path, "|") {
				ok = ok || strings.Contains(w.Path, want)
			}
			if took > most || took == 0 || !ok || w.Video == nil || w.Video.Frames == 0 {
				t.Errorf("no picture for %v, then %+v, video %+v; want %v at most, and a path with %s", took, w,
					w.Video, most, tt.path)
			}
		})
	}
}
