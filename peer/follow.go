package peer

import (
	"context"
	"fmt"
	"slices"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

// follow brings what is sent in step with what the source gives: at once where the codec was negotiated, and by an offer of ours where it was not. A source that
// has lost its sound or its picture for a while changes nothing.
func (c *Conn) follow(ctx context.Context) error {
	pc := c.connection()
	if pc == nil || c.o.Broadcast == nil || !c.wasConnected() {
		return nil
	}
	tracks := c.wanted()
	var absent []media.Track
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		i := slices.IndexFunc(tracks, func(t media.Track) bool { return kindOf(t.Codec) == kind })
		if i < 0 {
			continue
		}
		tr := carrying(pc, kind)
		switch t := tracks[i]; {
		case tr == nil:
			absent = append(absent, t)
		case !outOf(tr).bound():
			if _, wanted := c.asking.asked[t.Codec]; wanted {
				absent = append(absent, t)
			}
		case outOf(tr).codec == t.Codec:
			c.carry(ctx, pc, tr)
		case negotiated(tr, t.Codec):
			if err := c.turn(ctx, pc, tr, t.Codec); err != nil {
				return err
			}
		default:
			absent = append(absent, t)
		}
	}
	return c.ask(pc, absent)
}

// wanted is what the source gives that is for this remote: one that must have the smaller stream gets the pictures of that.
func (c *Conn) wanted() []media.Track {
	tracks, _ := c.o.Broadcast.current(Main)
	if c.level != Sub {
		return tracks
	}
	subs, _ := c.o.Broadcast.current(Sub)
	subs = slices.DeleteFunc(slices.Clone(subs), func(t media.Track) bool { return !t.Codec.Video() })
	return append(subs, slices.DeleteFunc(slices.Clone(tracks), func(t media.Track) bool { return t.Codec.Video() })...)
}

// wasConnected says whether media has flowed.
func (c *Conn) wasConnected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stages.Connected != 0
}

// carrying is the section in which we send a kind of media; nil is none.
func carrying(pc *webrtc.PeerConnection, kind webrtc.RTPCodecType) *webrtc.RTPTransceiver {
	for _, tr := range pc.GetTransceivers() {
		if out := outOf(tr); out != nil && out.Kind() == kind {
			return tr
		}
	}
	return nil
}

// turn sends another codec in a section.
func (c *Conn) turn(ctx context.Context, pc *webrtc.PeerConnection, tr *webrtc.RTPTransceiver, codec media.Codec) error {
	before := outOf(tr)
	next := newOutTrack(codec)
	next.succeed(before)
	if err := tr.Sender().ReplaceTrack(next); err != nil {
		return fmt.Errorf("turn from %s to %s: %w", before.codec, codec, err)
	}
	settle(pc)
	c.o.Log.Info("the source changed its codec, and so does what is sent", "from", before.codec, "to", codec)
	c.carry(ctx, pc, tr)
	return nil
}

// succeed takes a track's place in its RTP stream: numbers and times go on, for the remote and the cipher alike. The other sends no more after this.
func (t *outTrack) succeed(before *outTrack) {
	_ = before.Unbind(nil)
	before.mu.Lock()
	defer before.mu.Unlock()
	t.base, t.next, t.rtxNext = before.base, before.next, before.rtxNext
	t.sent, t.octets, t.lost = before.sent, before.octets, before.lost
	t.path, before.path = before.path, bwe.Path{}
}

// bound says whether the track has a way to the remote.
func (t *outTrack) bound() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w != nil
}

// carry gives a section's track to a sender of its own, unless a sender has it. Pictures get a new one, and take nothing of the old one's; sound that is new
// leaves the one of the pictures alone.
func (c *Conn) carry(ctx context.Context, pc *webrtc.PeerConnection, tr *webrtc.RTPTransceiver) {
	out := outOf(tr)
	senders := c.senders()
	for _, x := range senders {
		if x.tracks[out.codec] == out {
			return
		}
	}
	for _, x := range senders {
		switch {
		case !x.has(out.Kind()):
		case out.codec.Video() || len(x.tracks) == 1:
			c.retire(x)
		default:
			c.quiet(x)
		}
	}
	x := c.newSender([]*outTrack{out})
	c.listen(tr.Sender(), x)
	c.start(ctx, pc, x)
	for _, other := range pc.GetTransceivers() { // of a sender that was retired
		if o := outOf(other); o != nil && o.bound() && other != tr {
			c.carry(ctx, pc, other)
		}
	}
}
