package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// sending is a sender at work. A connection has one, and another for each track that has changed since.
type sending struct {
	*sender
	stop func() // nil before it was started
	mute bool   // its sound has changed, and another sender has it
}

// has says whether a sender was made for a kind of media.
func (x *sending) has(kind webrtc.RTPCodecType) bool {
	for codec := range x.tracks {
		if kindOf(codec) == kind {
			return true
		}
	}
	return false
}

// newSender adds a sender for some tracks.
func (c *Conn) newSender(outs []*outTrack) *sending {
	x := &sending{sender: newSender(c.o.Broadcast, outs, c.onFrame)}
	if x.video != nil {
		c.inbound.watch(x.onFeedback)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sends = append(c.sends, x)
	return x
}

// senders are those at work.
func (c *Conn) senders() []*sending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*sending(nil), c.sends...)
}

// start lets a sender send.
func (c *Conn) start(ctx context.Context, pc *webrtc.PeerConnection, x *sending) {
	ctx, cancel := context.WithCancel(ctx)
	if c.route == nil {
		c.route = c.newRoute(pc)
	}
	route := c.route
	route.attach(x.sender, c.level)
	detach := c.o.Broadcast.attach(x.sender)
	x.stop = func() { detach(); route.detach(x.sender); cancel() }
	c.sendersW.Go(func() {
		waitForSRTP(pc)
		if err := x.run(ctx, c.o.Broadcast.promote); err != nil && ctx.Err() == nil {
			c.fail(fmt.Errorf("sending: %w", err))
		}
	})
	c.sendersW.Go(func() { reportLoop(ctx, pc, x.sender) })
}

// retire ends a sender. What it is sending at this moment still goes out.
func (c *Conn) retire(x *sending) {
	x.end()
	at, sent := x.firstPacket(), x.bytes()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !at.IsZero() && c.stages.Packet == 0 {
		c.stages.Packet = max(at.Sub(c.began), 1)
	}
	c.past += sent
	for i := range c.sends {
		if c.sends[i] == x {
			c.sends = append(c.sends[:i:i], c.sends[i+1:]...)
			return
		}
	}
}

// bytes is how much media it has sent.
func (x *sending) bytes() (n uint64) {
	for _, t := range x.report() {
		n += t.Bytes
	}
	return n
}

// end stops sending.
func (x *sending) end() {
	if x.stop != nil {
		x.stop()
	}
}

// quiet tells that the sound of a sender is another's now.
func (c *Conn) quiet(x *sending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.mute = true
}

// carried is a report on what a sender carries.
func (c *Conn) carried(x *sending) (out []TrackReport) {
	c.mu.Lock()
	mute := x.mute
	c.mu.Unlock()
	for _, t := range x.report() {
		if t.Codec.Video() || !mute {
			out = append(out, t)
		}
	}
	return out
}

// listen hands the RTCP about what a section sends to a sender, and no longer to the one before it.
func (c *Conn) listen(r *webrtc.RTPSender, x *sending) {
	if before := c.listening[r]; before != nil {
		_ = r.SetReadDeadline(time.Now())
		<-before
		_ = r.SetReadDeadline(time.Time{})
	}
	done := make(chan struct{})
	c.listening[r] = done
	c.sendersW.Go(func() {
		defer close(done)
		x.sender.listen(r)
	})
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
