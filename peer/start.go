package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// startAll lets the senders send, now that DTLS has given the keys.
func (g *outgoing) startAll(ctx context.Context, l *link, e *Engine, remote identity) {
	if g.b == nil {
		return
	}
	l.route, g.keysAfter = newRoute(l, e, g), keysAfter(remote)
	for _, x := range g.all() {
		g.start(ctx, l, x)
	}
}

// start lets a sender send.
func (g *outgoing) start(ctx context.Context, l *link, x *attachedSender) {
	ctx, cancel := context.WithCancel(ctx)
	l.route.attach(x.sender, g.level)
	detach := g.b.attach(x.sender)
	x.stop = func() { detach(); l.route.detach(x.sender); cancel() }
	g.work.Go(func() {
		defer x.contain("sender")
		waitForSRTP(l.pc)
		waitForKeys(ctx, g.keysAfter)
		if err := x.run(ctx, g.b.promote); err != nil && ctx.Err() == nil {
			g.guard.fail(fmt.Errorf("sending: %w", err))
		}
	})
	g.work.Go(func() { reportLoop(ctx, l.pc, x.sender) })
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
