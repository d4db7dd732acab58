package agent_test

import (
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

// TestFaultInOneChannel: its sessions end, it goes on, and the viewer of another channel misses nothing.
func TestFaultInOneChannel(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate+"  yard: {source: pattern, create: true}\n"))
	v := join(t, s, "gate", "tablet").watch()
	w := join(t, s, "yard", "tablet").watch()
	v.plays(t, 5)
	w.plays(t, 5)
	var before status.Peer
	for _, p := range channel(a, "yard").Peers {
		before = p
	}
	panics := a.Report().Panics
	a.BreakChannel("gate")
	v.ended(t)
	w.plays(t, 15)
	if got := a.Report().Panics; got != panics+1 {
		t.Errorf("%d panics became %d", panics, got)
	}
	if p := channel(a, "yard").Peers; len(p) != 1 || p[0].Session != before.Session {
		t.Errorf("the sessions of the other channel are %+v", p)
	}
	if r := w.conn.Report(); r.Receiving[0].Dropped != 0 || w.gap() > 150*time.Millisecond {
		t.Errorf("the viewer of the other channel missed pictures: %v between two", w.gap())
	}
	join(t, s, "gate", "phone").watch().plays(t, 5)
}
