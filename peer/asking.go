package peer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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
