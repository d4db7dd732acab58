package peer

import (
	"fmt"
	"time"
)

// lease is what a connection has shown of late. A remote that answers ICE and does nothing else keeps a place for a viewer from somebody else.
type lease struct {
	sent    uint64    // frames, when they were looked at
	carried uint64    // frames sent and received, likewise
	flowed  time.Time // when that last grew
}

// checkLease ends a connection whose remote is deaf: it has reported on what it gets, and while we go on sending it does so no longer. And it ends one that
// carries nothing, in neither direction, for Config.IdleTimeout.
func (c *Conn) checkLease() error {
	c.mu.Lock()
	in, rec, state := c.inbound, c.receiver, c.state
	c.mu.Unlock()
	if in == nil || !c.wasConnected() {
		return nil
	}
	var sent, received uint64
	for _, x := range c.senders() {
		for _, t := range x.report() {
			sent += t.Frames
		}
	}
	if rec != nil {
		for _, t := range rec.report() {
			received += t.Frames
		}
	}
	if sent == c.lease.sent || state != Connected {
		in.excuse()
	}
	c.lease.sent = sent
	if in.silent() {
		return fmt.Errorf("the remote has fallen silent: no report on what it gets for %v", silence)
	}
	now := time.Now()
	if sent+received != c.lease.carried || c.lease.flowed.IsZero() {
		c.lease.carried, c.lease.flowed = sent+received, now
	}
	if limit := c.o.IdleTimeout; limit > 0 && now.Sub(c.lease.flowed) >= limit {
		return fmt.Errorf("idle: neither picture nor sound for %v; hint: limits.idle_timeout", limit)
	}
	return nil
}
