package peer

import (
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
)

const livenessEvery = 5 * time.Second

// liveness is what a connection has shown of late. A remote that answers ICE and does nothing else keeps a viewer's
// place from somebody else.
type liveness struct {
	check   time.Time // when to look again
	sent    uint64    // frames, when that was looked at
	carried uint64    // frames sent and received, likewise
	flowed  time.Time // when that last grew
}

// note takes the number of frames sent and received so far, and reports whether any were sent since it was last asked,
// and for how long nothing has been carried.
func (v *liveness) note(now time.Time, sent, received uint64) (sending bool, idle time.Duration) {
	v.check = now.Add(livenessEvery)
	sending = sent != v.sent
	v.sent = sent
	if sent+received != v.carried || v.flowed.IsZero() {
		v.carried, v.flowed = sent+received, now
	}
	return sending, now.Sub(v.flowed)
}

// checkLiveness ends a connection whose remote is deaf: it has reported on what it gets, and while we go on sending it
// does so no longer. And it ends one that carries nothing, in neither direction, for Config.IdleTimeout.
func (c *Conn) checkLiveness(now time.Time) error {
	l := c.current()
	c.liveness.check = now.Add(livenessEvery)
	if l == nil || !c.progress.wasConnected() {
		return nil
	}
	c.progress.measured(l.roundTrip())
	sending, idle := c.liveness.note(now, c.outgoing.frames(), l.receivedFrames())
	if !sending || !c.progress.is(Connected) {
		l.inbound.Excuse()
	}
	if c.negotiation.flow.Paused() || c.outgoing.pausing() {
		c.liveness.flowed, idle = now, 0
	}
	if l.inbound.Silent() {
		return fmt.Errorf("the remote has fallen silent: no report on what it gets for %v", transport.Silence)
	}
	if limit := c.o.IdleTimeout; limit > 0 && idle >= limit {
		return fmt.Errorf("idle: neither picture nor sound for %v; hint: limits.idle_timeout", limit)
	}
	return nil
}

// receivedFrames is how many frames have come.
func (l *link) receivedFrames() (n uint64) {
	if l.receiver == nil {
		return 0
	}
	for _, t := range l.receiver.Report() {
		n += t.Frames
	}
	return n
}
