package peer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

// askWithin is how long an offer of ours waits that names a codec or adds sound to a session. Many viewers take no offers.
const askWithin = 5 * time.Second

// asking is an offer of ours that names what was not negotiated so far.
type asking struct {
	wanted []media.Codec        // empty: we ask for nothing
	under  bool                 // the offer is c.pending; else it waits for another offer of ours to be answered
	asked  map[media.Codec]bool // each is asked for once in a session, or the remote's offer has told that it is in vain
	within *time.Timer          // until when
}

// forget ends asking. What was asked for may be asked for again if again is true.
func (a *asking) forget(again bool) {
	for _, codec := range a.wanted {
		a.asked[codec] = !again
	}
	a.wanted, a.under = nil, false
	a.within.Stop()
}

// never notes that a remote wants nothing of a kind: it has offered no section for it.
func (a *asking) never(kind webrtc.RTPCodecType) {
	for _, codec := range sendable() {
		if kindOf(codec) == kind {
			a.asked[codec] = true
		}
	}
}

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

// ask offers what the remote has not agreed to yet. Without sound a session goes on as it is; without the picture it ends, so that the remote comes again.
func (c *Conn) ask(pc *webrtc.PeerConnection, absent []media.Track) error {
	if c.asking.under {
		return nil
	}
	var wanted []media.Codec
	for _, t := range absent {
		switch {
		case !c.asking.asked[t.Codec] && len(c.o.Needs) == 0:
			wanted = append(wanted, t.Codec)
		case t.Codec.Video():
			return fmt.Errorf("the source changed to %s, which the remote does not take", t.Codec)
		}
	}
	if len(wanted) == 0 {
		c.asking.forget(true)
		return nil
	}
	if c.asking.wanted == nil {
		c.asking.within.Reset(askWithin)
	}
	c.asking.wanted = wanted
	if c.underWay(pc) || pc.SignalingState() != webrtc.SignalingStateStable {
		return nil // its answer comes first
	}
	for _, codec := range wanted {
		if carrying(pc, kindOf(codec)) != nil {
			continue
		}
		if _, err := pc.AddTrack(newOutTrack(codec)); err != nil {
			return fmt.Errorf("add %s: %w", codec, err)
		}
	}
	desc, err := pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		return fmt.Errorf("create offer for %v: %w", wanted, err)
	}
	sdp := c.directed(desc.SDP)
	for _, codec := range wanted {
		sdp = naming(sdp, codec)
	}
	c.pending, c.asking.under = &desc, true
	c.o.Log.Info("offer made, for the source has changed", "codecs", wanted)
	c.out.description(Offer{SDP: sdp})
	return nil
}

// naming puts a codec at the head of the first section of its kind, if the section has not got it: Pion names only what was negotiated before.
func naming(sdp string, codec media.Codec) string {
	kind := kindOf(codec).String()
	sections := strings.Split(sdp, "\nm=")
	for i, section := range sections {
		if i == 0 || !strings.HasPrefix(section, kind+" ") {
			continue
		}
		attributes := strings.Index(section, "\na=")
		if attributes < 0 || strings.Contains(strings.ToLower(section), " "+strings.ToLower(string(codec))+"/") {
			break
		}
		pt := strconv.Itoa(freePayloadType(sections))
		lines := "a=rtpmap:" + pt + " " + string(codec) + "/" + strconv.Itoa(int(codec.ClockRate()))
		switch codec {
		case media.Opus:
			lines += "/2\r\na=fmtp:" + pt + " " + opusFmtp
		case media.H264:
			lines += "\r\na=fmtp:" + pt + " " + h264Fmtp("42e0") // what everybody has
		}
		if codec.Video() {
			for _, f := range videoFeedback {
				lines += strings.TrimRight("\r\na=rtcp-fb:"+pt+" "+f.Type+" "+f.Parameter, " ")
			}
		}
		head := strings.Replace(section[:attributes+1], "SAVPF ", "SAVPF "+pt+" ", 1)
		sections[i] = head + lines + "\r\n" + section[attributes+1:]
		break
	}
	return strings.Join(sections, "\nm=")
}

// freePayloadType is a dynamic payload type (RFC 3551 section 6) that no section has.
func freePayloadType(sections []string) int {
	taken := map[string]bool{}
	for _, section := range sections[1:] {
		line, _, _ := strings.Cut(section, "\r\n")
		for _, f := range strings.Fields(line) {
			taken[f] = true
		}
	}
	for pt := 127; pt > 96; pt-- {
		if !taken[strconv.Itoa(pt)] {
			return pt
		}
	}
	return 96
}

// agree drops what an answer to our offer does not take, before Pion sees the answer: it stumbles over a track that it cannot send.
func (c *Conn) agree(pc *webrtc.PeerConnection, answer string) error {
	takes, err := offeredCodecs(answer)
	if err != nil {
		return fmt.Errorf("answer not understood: %w", err)
	}
	for _, tr := range pc.GetTransceivers() {
		out := outOf(tr)
		if out == nil || out.bound() {
			continue
		}
		if slices.ContainsFunc(takes[out.Kind().String()], func(r remoteCodec) bool { return r.codec == out.codec }) {
			continue
		}
		if out.codec.Video() {
			return fmt.Errorf("no common video codec: the remote takes %s; the source gives %s", names(takes["video"]), out.codec)
		}
		c.o.Log.Warn("no sound for this viewer", "viewer_takes", names(takes["audio"]), "source_gives", out.codec)
		if err := c.withdraw(pc, tr); err != nil {
			return err
		}
	}
	return nil
}

// withdraw takes a track out that nobody took.
func (c *Conn) withdraw(pc *webrtc.PeerConnection, tr *webrtc.RTPTransceiver) error {
	codec := outOf(tr).codec
	c.asking.asked[codec] = true
	if err := pc.RemoveTrack(tr.Sender()); err != nil {
		return fmt.Errorf("take %s out: %w", codec, err)
	}
	return nil
}

// notAnswered ends waiting for the answer to an offer that asks for something.
func (c *Conn) notAnswered() error {
	wanted, under := c.asking.wanted, c.asking.under
	c.asking.forget(false)
	for _, codec := range wanted {
		if codec.Video() {
			return fmt.Errorf("the source changed to %s, which was not negotiated, and the remote did not answer our offer of it in %v", codec, askWithin)
		}
	}
	c.o.Log.Warn("no sound for this viewer", "source_gives", wanted, "err", "our offer of it was not answered")
	if under {
		c.pending = nil
	}
	pc := c.connection()
	for _, tr := range pc.GetTransceivers() {
		if out := outOf(tr); out != nil && !out.bound() {
			if err := c.withdraw(pc, tr); err != nil {
				return err
			}
		}
	}
	if c.failing {
		return c.restart()
	}
	return nil
}
