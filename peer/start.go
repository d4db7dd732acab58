package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/peer/fanout"
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
	l.route.attach(x.Sender, g.level)
	detach := g.b.Attach(x.Sender)
	x.stop = func() { detach(); l.route.detach(x.Sender); cancel() }
	g.work.Go(func() {
		defer x.Contain("sender")
		waitForSRTP(l.pc)
		fanout.WaitForKeys(ctx, g.keysAfter)
		if err := x.Run(ctx, g.b.Promote); err != nil && ctx.Err() == nil {
			g.guard.Fail(fmt.Errorf("sending: %w", err))
		}
	})
	g.work.Go(func() { fanout.ReportLoop(ctx, l.pc, x.Sender) })
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

// keysAfter is how long after the handshake a remote can decrypt, as far as that is known.
func keysAfter(remote identity) time.Duration {
	if remote.Firefox() {
		return fanout.LateKeys
	}
	return 0
}
