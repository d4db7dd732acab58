package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// start lets a sender send.
func (c *Conn) start(ctx context.Context, l *link, x *attachedSender) {
	ctx, cancel := context.WithCancel(ctx)
	if c.route == nil {
		c.route = c.newRoute(l)
	}
	route := c.route
	route.attach(x.sender, c.outgoing.level)
	detach := c.o.Broadcast.attach(x.sender)
	x.stop = func() { detach(); route.detach(x.sender); cancel() }
	c.outgoing.work.Go(func() {
		defer x.contain("sender")
		waitForSRTP(l.pc)
		if err := x.run(ctx, c.o.Broadcast.promote); err != nil && ctx.Err() == nil {
			c.fail(fmt.Errorf("sending: %w", err))
		}
	})
	c.outgoing.work.Go(func() { reportLoop(ctx, l.pc, x.sender) })
}

// waitForSRTP waits until Pion can send, or is closed. It says that it is connected a moment too early, and drops what is written
// before, without an error: the packet with the parameter sets of the first picture.
func waitForSRTP(pc *webrtc.PeerConnection) {
	for _, s := range pc.GetSenders() {
		if s.SetReadDeadline(time.Time{}) == nil { // which it cannot do sooner
			return
		}
	}
}
