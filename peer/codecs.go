package peer

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	opusFmtp = "minptime=10;useinbandfec=1"
	opusPT   = 111
)

// videoFeedback is what we understand of RTCP feedback (RFC 4585, RFC 5104).
var videoFeedback = []webrtc.RTCPFeedback{
	{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "goog-remb"}, {Type: "transport-cc"},
}

// profileOf is profile_idc and constraint flags of a track's SPS as 4 hex digits; Constrained Baseline when not known.
func profileOf(t media.Track) string {
	if len(t.SPS) < 4 {
		return "42e0"
	}
	return hex.EncodeToString(t.SPS[1:3])
}

// h264Fmtp is the format that we name for a profile. The level says what the receiver can do, so it is level 3.1 as everybody writes, and
// asymmetry is allowed.
func h264Fmtp(profile string) string {
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile + "1f"
}

// codecSet collects codecs for a media engine, with payload types that no two share.
type codecSet struct {
	engine *webrtc.MediaEngine
	nextPT webrtc.PayloadType
	seen   []string
}

func newCodecSet() (*codecSet, error) {
	s := &codecSet{engine: &webrtc.MediaEngine{}, nextPT: 96}
	if err := s.engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, webrtc.RTPCodecTypeVideo); err != nil {
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
		if err := s.add(media.H264, h264Fmtp(profileOf(t))); err != nil {
			return err
		}
		return s.add(media.H264, h264Fmtp("42e0"))
	case media.Opus:
		return s.add(media.Opus, opusFmtp)
	}
	return s.add(t.Codec, "")
}

// addReceivable registers what we can turn back into frames.
func (s *codecSet) addReceivable() error {
	for _, c := range []struct {
		codec media.Codec
		fmtp  string
	}{
		{media.H264, h264Fmtp("42e0")}, {media.H264, h264Fmtp("4200")}, {media.H264, h264Fmtp("4d00")}, {media.H264, h264Fmtp("640c")},
		{media.VP8, ""}, {media.H265, ""}, {media.VP9, ""}, {media.AV1, ""}, {media.Opus, opusFmtp}, {media.PCMU, ""}, {media.PCMA, ""},
	} {
		if err := s.add(c.codec, c.fmtp); err != nil {
			return err
		}
	}
	return nil
}

// addUnused registers a sound that the remote knows even when the source has none like it: a section without a codec is rejected, and Pion
// cannot offer again on a connection that has one.
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
	return fmt.Errorf("the source has no %s, which the remote needs; it gives %s; hint: H.264 is set in the camera, audio: transcode makes Opus of other sound", strings.Join(lack, " and no "), cmp.Or(strings.Join(have, " and "), "nothing"))
}
