package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// meter writes how many bytes have come in at a site, ten times a second.
const meter = `while :; do read n </sys/class/net/$0/statistics/rx_bytes; echo $(date +%s%N) $n; sleep 0.1; done`

// watched starts to measure what comes in by a device of the viewer.
func (n *internet) watched(dev string) *process {
	n.t.Helper()
	return n.program("view", environment(), "sh", "-c", meter, dev)
}

// longestPause is the longest time in which hardly anything came, from the first moment to the last in which something did.
func longestPause(t *testing.T, p *process) time.Duration {
	t.Helper()
	p.stop()
	const picture = 1000 // bytes in a tenth of a second; checks and keepalives are fewer
	var at, last, longest, bytes, lastBytes int64
	for line := range strings.Lines(p.stdout.String()) {
		if _, err := fmt.Sscan(line, &at, &bytes); err != nil {
			continue
		}
		if lastBytes != 0 && bytes-lastBytes >= picture {
			if last != 0 {
				longest = max(longest, at-last)
			}
			last = at
		}
		lastBytes = bytes
	}
	return time.Duration(max(longest, at-last))
}

const (
	turnUDP = "turn:" + turnIP + ":3478?transport=udp"
	turnTCP = "turn:" + turnIP + ":3478?transport=tcp"
	stunURL = "stun:" + turnIP + ":3478"
)

// twoLinks gives the camera a second link, to a router of its own, which is not used so far.
func (n *internet) twoLinks(rules string) {
	n.t.Helper()
	n.plug("cam", 1, rules)
	n.plug("spare", 3, rules)
	n.wire("sparer", "lan2", "10.4.0.1/24", "cam", "eth2")
	n.in("cam", "ip", "addr", "add", "10.4.0.2/24", "dev", "eth2")
}

// TestNetworkChanges: what becomes of a picture when the camera's network changes under it.
func TestNetworkChanges(t *testing.T) {
	plain := func(n *internet) { n.plug("cam", 1, ""); n.plug("view", 2, "") }
	routed := func(n *internet) { n.plug("cam", 1, router("", "")); n.plug("view", 2, "") }
	offers := "source: pattern, create: true, offer_to: tablet"
	address := func(n *internet) {
		n.in("cam", "ip", "addr", "del", "203.0.113.11/24", "dev", "wan") // first, or the kernel takes the second of one network with it
		n.in("cam", "ip", "addr", "add", "203.0.113.21/24", "dev", "wan")
	}
	route := func(n *internet) { n.in("cam", "ip", "route", "replace", "default", "via", "10.4.0.1") }
	down := func(d time.Duration) func(*internet) {
		return func(n *internet) {
			n.in("cam", "ip", "link", "set", "eth", "down")
			time.Sleep(d) // the fault itself
			n.in("cam", "ip", "link", "set", "eth", "up")
			n.in("cam", "ip", "route", "add", "default", "via", "10.1.0.1")
		}
	}
	for _, tt := range []struct {
		name    string
		world   func(*internet)
		change  func(*internet)
		servers []string
		channel string // of the camera
		lasts   time.Duration
		most    time.Duration // without a picture
		path    string        // afterwards
	}{
		{"another address", plain, address, nil, "", 12 * time.Second, 3 * time.Second, "host|prflx"},
		{"another address, camera offers", plain, address, nil, offers, 12 * time.Second, 3 * time.Second, "host|prflx"},
		{"another route", func(n *internet) { n.twoLinks(router("", "")); n.plug("view", 2, "") }, route, []string{stunURL}, "", 12 * time.Second, 3 * time.Second, "prflx|srflx"},
		{"another route, viewer behind a router", func(n *internet) { n.twoLinks(router("", "")); n.plug("view", 2, router("", "")) }, route, []string{stunURL}, "", 20 * time.Second, 9 * time.Second, "prflx|srflx"},
		{"another route, relay, camera offers", func(n *internet) {
			n.twoLinks(router("fully-random", ""))
			n.plug("view", 2, router("fully-random", ""))
		},
			route, []string{stunURL, turnUDP}, offers, 20 * time.Second, 9 * time.Second, "relay"},
		{"down for 20 s", routed, down(20 * time.Second), []string{stunURL}, "", 35 * time.Second, 24 * time.Second, "prflx|srflx"},
		{"down for 30 s", routed, down(30 * time.Second), []string{stunURL}, "", 60 * time.Second, 45 * time.Second, "prflx|srflx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.channel = tt.channel
			tt.world(n)
			env := n.serve(tt.servers)
			dev := "wan"
			if n.site["view"] {
				dev = "eth"
			}
			watch := n.watched(dev)
			w := n.view(env, tt.servers, tt.lasts.String(), func() {
				time.Sleep(5 * time.Second) // some seconds of a picture
				tt.change(n)
			})
			took := longestPause(t, watch)
			t.Logf("no picture for %v; then the path was %s", took, w.Path)
			ok := false
			for want := range strings.SplitSeq(tt.path, "|") {
				ok = ok || strings.Contains(w.Path, want)
			}
			if took > tt.most || took == 0 || !ok || w.Video == nil || w.Video.Frames == 0 {
				t.Errorf("no picture for %v, then %+v, video %+v; want %v at most, and a path with %s", took, w, w.Video, tt.most, tt.path)
			}
		})
	}
}
