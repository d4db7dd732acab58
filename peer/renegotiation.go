package peer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/webrtc/v4"
)

// renegotiate offers what the remote has not agreed to yet. Without sound a session goes on as it is; without the
// picture it ends, so that the remote comes again.
func (c *Conn) renegotiate(l *link, absent []media.Track) error {
	n := &c.negotiation
	if n.pending != nil && n.pending.purpose == newCodecs {
		return nil
	}
	wanted, refused := n.missing(absent, len(c.o.Needs) > 0)
	if refused != "" {
		return fmt.Errorf("the source changed to %s, which the remote does not take", refused)
	}
	if len(wanted) == 0 {
		n.forget(true)
		return nil
	}
	n.want(wanted, time.Now())
	if n.pending != nil || !l.canOffer() {
		n.enqueue(newCodecs)
		return nil
	}
	for _, codec := range wanted {
		if sectionOf(l.pc, kindOf(codec)).tr != nil {
			continue
		}
		if _, err := l.pc.AddTrack(fanout.NewTrack(codec)); err != nil {
			return fmt.Errorf("add %s: %w", codec, err)
		}
	}
	desc, err := l.pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return fmt.Errorf("create offer for %v: %w", wanted, err)
	}
	sdp := c.negotiation.told(desc.SDP, false)
	for _, codec := range wanted {
		sdp = naming(sdp, codec)
	}
	n.pending = &pendingOffer{desc, newCodecs}
	c.o.Log.Info("offer made, for the source has changed", "codecs", wanted)
	c.out.description(Offer{SDP: sdp})
	return nil
}

// offerQueued makes the next offer that has waited for an answer. A restart of ICE is made only if the connection still
// needs it.
func (c *Conn) offerQueued(ctx context.Context) error {
	for {
		p, ok := c.negotiation.dequeue()
		if !ok {
			return nil
		}
		var err error
		switch {
		case p == newCodecs:
			err = c.syncTracks(ctx)
		case c.recovery.condition == failed, c.recovery.condition == migrating, c.recovery.condition == lost:
			err = c.offerRestart()
		}
		if err != nil {
			return err
		}
	}
}

// onNoAnswer gives up an offer that names codecs.
func (c *Conn) onNoAnswer(ctx context.Context) error {
	wanted := c.negotiation.expire()
	for _, codec := range wanted {
		if codec.Video() {
			return fmt.Errorf("the source changed to %s, which was not negotiated, and the remote did not answer our "+
				"offer of it in %v",
				codec, renegotiateWithin)
		}
	}
	c.o.Log.Warn("no sound for this viewer", "source_gives", wanted, "err", "our offer of it was not answered")
	if _, err := c.current().agree(nil); err != nil {
		return err
	}
	return c.offerQueued(ctx)
}

// agree drops what an answer to our offer does not take, before Pion sees the answer: it stumbles over a track that it
// cannot send. It returns the audio codec that was dropped, or "".
func (l *link) agree(takes map[string][]remoteCodec) (mute media.Codec, err error) {
	for _, tr := range l.pc.GetTransceivers() {
		out := outOf(tr)
		if out == nil || out.Bound() {
			continue
		}
		if slices.ContainsFunc(takes[out.Kind().String()], func(r remoteCodec) bool { return r.Name == out.Codec }) {
			continue
		}
		if out.Codec.Video() {
			return "", fmt.Errorf("no common video codec: the remote takes %s; the source gives %s",
				names(takes["video"]), out.Codec)
		}
		if err := l.pc.RemoveTrack(tr.Sender()); err != nil {
			return "", fmt.Errorf("take %s out: %w", out.Codec, err)
		}
		mute = out.Codec
	}
	return mute, nil
}

// naming puts a codec at the head of the first section of its kind, if the section has not got it: Pion names only what
// was negotiated before.
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
			lines += "\r\na=fmtp:" + pt + " " + h264Fmtp("42e0", level31) // what everybody has
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
