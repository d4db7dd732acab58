package peer

import (
	"testing"
	"time"
)

// TestNoPacketIsLostOnItsWayThroughPion: one packet of 8,192 goes through Pion on the direct way, and arrives.
func TestNoPacketIsLostOnItsWayThroughPion(t *testing.T) {
	s := watch(t, loopback(t), loopback(t), running(t, metronome{500 * time.Microsecond}), nil, nil)
	s.got.waits(t, 12_000)
	r := s.viewer.Report().Receiving[0]
	_, gaps := s.got.seen()
	if r.Lost != 0 || gaps != 0 {
		t.Errorf("%d packets lost, %d gaps", r.Lost, gaps)
	}
}
