package peer

import (
	"context"
	"fmt"
	"slices"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/webrtc/v4"
)

// section is what a connection sends in one section of its descriptions. The zero value is no section.
type section struct {
	tr    *webrtc.RTPTransceiver
	codec media.Codec // that it sends now
	bound bool        // the remote has agreed to it
	takes func(media.Codec) bool
}

// step is what becomes of one track of the source.
type step int

const (
	leaveAlone  step = iota
	carryTrack       // a sender must have it
	switchCodec      // the section sends it from now on
	renegotiate      // the remote has not agreed to it
)

// stepFor decides what becomes of a track of the source in the section of its kind. asked says whether an offer of ours
// has named it.
func stepFor(codec media.Codec, s section, asked bool) step {
	switch {
	case s.tr == nil:
		return renegotiate
	case !s.bound && !asked:
		return leaveAlone // the first description names it
	case !s.bound:
		return renegotiate
	case s.codec == codec:
		return carryTrack
	case s.takes(codec):
		return switchCodec
	}
	return renegotiate
}

// syncTracks brings what is sent in step with what the source gives: at once where the codec was negotiated, and by an
// offer of ours where it was not. A source that has lost its sound or its picture for a while changes nothing.
func (c *Conn) syncTracks(ctx context.Context) error {
	l := c.current()
	if l == nil || c.o.Broadcast == nil || !c.progress.wasConnected() {
		return nil
	}
	tracks := c.outgoing.wanted()
	var absent []media.Track
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		i := slices.IndexFunc(tracks, func(t media.Track) bool { return kindOf(t.Codec) == kind })
		if i < 0 {
			continue
		}
		s := sectionOf(l.pc, kind)
		if s.tr == nil && c.negotiation.ruledOut[kind] {
			continue
		}
		if c.outgoing.paused[kind] && !s.canTake(tracks[i].Codec) {
			continue // it is offered when the remote wants it again
		}
		_, asked := c.negotiation.asked[tracks[i].Codec]
		switch stepFor(tracks[i].Codec, s, asked) {
		case carryTrack:
			c.outgoing.carry(ctx, l, s.tr)
		case switchCodec:
			if err := c.outgoing.switchCodec(ctx, l, s.tr, tracks[i].Codec); err != nil {
				return err
			}
		case renegotiate:
			absent = append(absent, tracks[i])
		}
	}
	return c.renegotiate(l, absent)
}

// wanted is what the source gives that is for this remote: one that must have the smaller stream gets the pictures of
// that.
func (g *outgoing) wanted() []media.Track {
	tracks, _ := g.b.Current(fanout.Main)
	if g.level != fanout.Sub {
		return tracks
	}
	subs, _ := g.b.Current(fanout.Sub)
	subs = slices.DeleteFunc(slices.Clone(subs), func(t media.Track) bool { return !t.Codec.Video() })
	return append(subs, slices.DeleteFunc(slices.Clone(tracks), func(t media.Track) bool { return t.Codec.Video() })...)
}

// sectionOf is the section in which we send a kind of media.
func sectionOf(pc *webrtc.PeerConnection, kind webrtc.RTPCodecType) section {
	for _, tr := range pc.GetTransceivers() {
		if out := outOf(tr); out != nil && out.Kind() == kind {
			return section{tr, out.Codec, out.Bound(), func(codec media.Codec) bool { return negotiated(tr, codec) }}
		}
	}
	return section{}
}

// admit makes room for a kind of media that the remote wants for the first time, in a section that it has added.
func (g *outgoing) admit(l *link, offer string, n *negotiation) error {
	if g.b == nil || len(n.ruledOut) == 0 || l.pc.RemoteDescription() == nil {
		return nil
	}
	offered, err := offeredCodecs(offer)
	if err != nil {
		return nil // which is found out later
	}
	for _, t := range g.wanted() {
		kind := kindOf(t.Codec)
		if _, ok := matchCodec(t, offered[kind.String()]); !ok || !n.ruledOut[kind] {
			continue
		}
		direction := webrtc.RTPTransceiverDirectionSendonly
		if g.receive {
			direction = webrtc.RTPTransceiverDirectionSendrecv
		}
		if _, err := l.pc.AddTransceiverFromTrack(fanout.NewTrack(t.Codec),
			webrtc.RTPTransceiverInit{Direction: direction}); err != nil {
			return fmt.Errorf("add %s: %w", t.Codec, err)
		}
		delete(n.ruledOut, kind)
		delete(n.asked, t.Codec)
	}
	return nil
}

// canTake says whether a codec can be sent in the section without an offer.
func (s section) canTake(codec media.Codec) bool {
	return s.bound && (s.codec == codec || s.takes(codec))
}

// pause stops what the remote does not want to receive, and lets go on what it wants again.
func (g *outgoing) pause(l *link, flow *sdp.Flow) {
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		s := sectionOf(l.pc, kind)
		paused := s.tr != nil && !flow.Wants(s.tr.Mid())
		if paused == g.paused[kind] {
			continue
		}
		g.paused[kind] = paused
		g.log.Info("the remote has changed what it wants to receive", "kind", kind.String(), "paused", paused)
		for _, x := range g.all() {
			x.Pause(kind, paused)
		}
	}
}

// pausing says whether there is something that the remote does not want to receive.
func (g *outgoing) pausing() bool {
	return g.paused[webrtc.RTPCodecTypeVideo] || g.paused[webrtc.RTPCodecTypeAudio]
}

// switchCodec sends another codec in a section.
func (g *outgoing) switchCodec(ctx context.Context, l *link, tr *webrtc.RTPTransceiver, codec media.Codec) error {
	before := outOf(tr)
	next := fanout.NewTrack(codec)
	next.Succeed(before)
	if err := tr.Sender().ReplaceTrack(next); err != nil {
		return fmt.Errorf("switch from %s to %s: %w", before.Codec, codec, err)
	}
	settle(l.pc)
	g.log.Info("the source changed its codec, and so does what is sent", "from", before.Codec, "to", codec)
	g.carry(ctx, l, tr)
	return nil
}

// carry gives a section's track to a sender of its own, unless a sender has it.
func (g *outgoing) carry(ctx context.Context, l *link, tr *webrtc.RTPTransceiver) {
	out := outOf(tr)
	if g.carries(out) {
		return
	}
	g.handOver(out)
	x := g.add([]*fanout.Track{out}, l.inbound)
	g.listen(tr.Sender(), x)
	g.start(ctx, l, x)
	for _, other := range l.pc.GetTransceivers() { // of a sender that was retired
		if o := outOf(other); o != nil && o.Bound() && other != tr {
			g.carry(ctx, l, other)
		}
	}
}
