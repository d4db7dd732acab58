package peer

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestReportAsksNobodyWhoIsStuck: while Pion's loop of ICE stands still, the connection is reported all the same, with
// its path and round trip.
func TestReportAsksNobodyWhoIsStuck(t *testing.T) {
	masters := loopback(t)
	var stuck atomic.Bool
	entered, release := make(chan struct{}, 1), make(chan struct{})
	masters.settings.SetRemoteIPFilter(func(net.IP) bool { // which the loop calls
		if stuck.CompareAndSwap(true, false) {
			entered <- struct{}{}
			<-release
		}
		return true
	})
	s := watch(t, masters, loopback(t), running(t, metronome{20 * time.Millisecond}), nil, nil)
	s.got.waits(t, 5)
	stuck.Store(true)
	s.master.Handle(Candidate{Candidate: "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"})
	defer close(release)
	<-entered
	reported := make(chan Report, 1)
	go func() { reported <- s.master.Report() }()
	select {
	case r := <-reported:
		if r.State != Connected || r.Local == "" || r.Remote == "" || r.RTT == 0 {
			t.Errorf("reported %+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Error("Report waits for Pion's loop")
	}
}
