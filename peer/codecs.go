package peer

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	opusFmtp = "minptime=10;useinbandfec=1"
	opusPT   = 111
)

// videoFeedback is what we understand of RTCP feedback (RFC 4585, RFC 5104).
var videoFeedback = []webrtc.RTCPFeedback{
	{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "goog-remb"},
	{Type: "transport-cc"},
}

// profileOf is profile_idc and constraint flags of a track's SPS as 4 hex digits; Constrained Baseline when not known.
func profileOf(t media.Track) string {
	if len(t.SPS) < 4 {
		return "42e0"
	}
	return hex.EncodeToString(t.SPS[1:3])
}

// levelOf is level_idc of a track's SPS as 2 hex digits; 3.1, which everybody writes, when it is not known.
func levelOf(t media.Track) string {
	if len(t.SPS) < 4 {
		return level31
	}
	return hex.EncodeToString(t.SPS[3:4])
}

const level31 = "1f"

// videoOf is the video among tracks.
func videoOf(tracks []media.Track) (t media.Track, ok bool) {
	i := slices.IndexFunc(tracks, func(t media.Track) bool { return t.Codec.Video() })
	if i < 0 {
		return t, false
	}
	return tracks[i], true
}

// h264Fmtp is the format that we name for a profile and level. For what we only receive the level says what we can do,
// and asymmetry is allowed (RFC 6184 section 8.1).
func h264Fmtp(profile, level string) string {
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile + level
}

// codecSet collects codecs for a media engine, with payload types that no two share.
type codecSet struct {
	engine *webrtc.MediaEngine
	nextPT webrtc.PayloadType
	seen   []string
}

func newCodecSet() (*codecSet, error) {
	s := &codecSet{engine: &webrtc.MediaEngine{}, nextPT: 96}
	if err := s.engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI},
		webrtc.RTPCodecTypeVideo); err != nil {
		return nil, fmt.Errorf("transport-wide sequence numbers: %w", err)
	}
	return s, nil
}

func (s *codecSet) add(codec media.Codec, fmtp string) error {
	if key := string(codec) + " " + fmtp; slices.Contains(s.seen, key) {
		return nil
	} else {
		s.seen = append(s.seen, key)
	}
	p := webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: "audio/" + string(codec), ClockRate: codec.ClockRate(), SDPFmtpLine: fmtp,
	}}
	kind := webrtc.RTPCodecTypeAudio
	switch codec {
	case media.PCMU:
		p.PayloadType = 0
	case media.PCMA:
		p.PayloadType = 8
	case media.Opus:
		p.Channels = 2 // RFC 7587 section 7: always 2 in the rtpmap
		p.PayloadType = opusPT
	default:
		kind = webrtc.RTPCodecTypeVideo
		p.MimeType, p.RTCPFeedback = "video/"+string(codec), videoFeedback
		if s.nextPT == opusPT-1 { // its retransmissions would be Opus
			s.nextPT += 2
		}
		p.PayloadType = s.nextPT
		s.nextPT += 2
	}
	if err := s.engine.RegisterCodec(p, kind); err != nil {
		return fmt.Errorf("codec %s: %w", codec, err)
	}
	if kind == webrtc.RTPCodecTypeAudio {
		return nil
	}
	// RFC 4588 section 8.6: retransmissions have a payload type of their own that names the one they repeat.
	again := webrtc.RTPCodecParameters{PayloadType: p.PayloadType + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: codec.ClockRate(), SDPFmtpLine: fmt.Sprintf("apt=%d", p.PayloadType),
	}}
	if err := s.engine.RegisterCodec(again, kind); err != nil {
		return fmt.Errorf("retransmission of %s: %w", codec, err)
	}
	return nil
}

// addTrack registers what we name when we offer a track: its own profile first, and the one that everybody has.
func (s *codecSet) addTrack(t media.Track) error {
	switch t.Codec {
	case media.H264:
		if err := s.add(media.H264, h264Fmtp(profileOf(t), levelOf(t))); err != nil {
			return err
		}
		return s.add(media.H264, h264Fmtp("42e0", levelOf(t)))
	case media.Opus:
		return s.add(media.Opus, opusFmtp)
	}
	return s.add(t.Codec, "")
}

// addReceivable registers what we can turn back into frames, and that packets may name their section: some remotes do
// not say beforehand by what SSRC they can be told apart.
func (s *codecSet) addReceivable() error {
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if err := s.engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI},
			kind); err != nil {
			return fmt.Errorf("names of sections: %w", err)
		}
	}
	for _, c := range []struct {
		codec media.Codec
		fmtp  string
	}{
		{media.H264, h264Fmtp("42e0", level31)}, {media.H264, h264Fmtp("4200", level31)},
		{media.H264, h264Fmtp("4d00", level31)},
		{media.H264, h264Fmtp("640c", level31)},
		{media.VP8, ""}, {media.H265, ""}, {media.VP9, ""}, {media.AV1, ""}, {media.Opus, opusFmtp}, {media.PCMU, ""},
		{media.PCMA, ""},
	} {
		if err := s.add(c.codec, c.fmtp); err != nil {
			return err
		}
	}
	return nil
}

// addUnused registers a sound that the remote knows even when the source has none like it: a section without a codec is
// rejected, and Pion cannot offer again on a connection that has one.
func (s *codecSet) addUnused(offered []remoteCodec) error {
	for _, c := range offered {
		switch c.Name {
		case media.Opus:
			return s.add(media.Opus, opusFmtp)
		case media.PCMU, media.PCMA:
			return s.add(c.Name, "")
		}
	}
	return nil
}

// lacking says which codecs a remote needs and the source has not.
func lacking(tracks []media.Track, needs []media.Codec) error {
	var have, lack []string
	for _, t := range tracks {
		have = append(have, string(t.Codec))
	}
	for _, n := range needs {
		if !slices.Contains(have, string(n)) {
			lack = append(lack, string(n))
		}
	}
	if len(lack) == 0 {
		return nil
	}
	return fmt.Errorf("the source has no %s, which the remote needs; it gives %s; hint: H.264 is set in the camera, "+
		"audio: transcode makes Opus of other sound", strings.Join(lack,
		" and no "), cmp.Or(strings.Join(have, " and "), "nothing"))
}

// A source may turn to another codec: a camera that was set anew, a slate in place of H.265. So all codecs that both
// sides know are negotiated, the source's first, and a change to one of them needs no negotiation: the packets have
// another payload type from one to the next.

// sendable is what we can send, in the order in which we name it.
func sendable() []media.Codec {
	return []media.Codec{media.H264, media.VP8, media.VP9, media.H265, media.AV1, media.Opus, media.PCMU, media.PCMA}
}

// addOthers registers what we could send and is not in the set yet: in the remote's words where it offers that, else in
// ours, for an offer later on.
func (s *codecSet) addOthers(offered map[string][]remoteCodec) error {
	for _, codec := range sendable() {
		if s.has(codec) {
			continue
		}
		var err error
		if match, ok := matchCodec(media.Track{Codec: codec}, offered[kindOf(codec).String()]); ok {
			err = s.add(codec, match.Fmtp)
		} else {
			err = s.addTrack(media.Track{Codec: codec})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *codecSet) has(codec media.Codec) bool {
	return slices.ContainsFunc(s.seen, func(key string) bool { return strings.HasPrefix(key, string(codec)+" ") })
}

func kindOf(codec media.Codec) webrtc.RTPCodecType {
	if codec.Video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// fit gives the tracks that the remote takes, and puts their codecs into the set in the remote's words. mute is a sound
// that it does not take though it takes others. A picture that it does not take is a RefusedError.
func (s *codecSet) fit(tracks []media.Track,
	offered map[string][]remoteCodec) (fitting []media.Track, mute media.Codec, err error) {
	for _, t := range tracks {
		takes, wanted := offered[kindOf(t.Codec).String()]
		match, ok := matchCodec(t, takes)
		switch {
		case !wanted: // the remote has no section for it
		case ok:
			if err := s.add(t.Codec, match.Fmtp); err != nil {
				return nil, "", err
			}
			fitting = append(fitting, t)
		case t.Codec.Video():
			return nil, "", &RefusedError{fmt.Errorf("no common video codec: the remote takes %s; "+
				"the source gives %s; hint: a browser without that codec cannot show this camera",
				names(takes), t.Codec)}
		case len(takes) > 0:
			mute = t.Codec
		}
	}
	return fitting, mute, nil
}

// settle makes each section of our description name the codec that we send first: a remote that takes one takes that.
func settle(pc *webrtc.PeerConnection) {
	for _, tr := range pc.GetTransceivers() {
		out := outOf(tr)
		if out == nil {
			continue
		}
		_ = tr.SetCodecPreferences(nil) // all that is negotiated by now
		codecs := tr.Sender().GetParameters().Codecs
		var own []webrtc.PayloadType
		for _, c := range codecs {
			if out.Codec == receive.CodecOf(c) {
				own = append(own, c.PayloadType)
			}
		}
		slices.SortStableFunc(codecs,
			func(a, b webrtc.RTPCodecParameters) int { return rank(a, out.Codec, own) - rank(b, out.Codec, own) })
		_ = tr.SetCodecPreferences(codecs)
	}
}

// rank is 0 for a codec, 1 for its retransmissions, 2 for all others.
func rank(c webrtc.RTPCodecParameters, codec media.Codec, own []webrtc.PayloadType) int {
	if receive.CodecOf(c) == codec {
		return 0
	}
	if slices.ContainsFunc(own,
		func(pt webrtc.PayloadType) bool { return c.SDPFmtpLine == fmt.Sprintf("apt=%d", pt) }) {
		return 1
	}
	return 2
}

// negotiated says whether a codec may be sent in a section.
func negotiated(tr *webrtc.RTPTransceiver, codec media.Codec) bool {
	return slices.ContainsFunc(tr.Sender().GetParameters().Codecs,
		func(c webrtc.RTPCodecParameters) bool { return receive.CodecOf(c) == codec })
}

// outOf is our track that a transceiver sends, or nil.
func outOf(tr *webrtc.RTPTransceiver) *fanout.Track {
	s := tr.Sender()
	if s == nil {
		return nil
	}
	out, _ := s.Track().(*fanout.Track)
	return out
}
