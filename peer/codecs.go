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

// remoteCodec is a codec that a remote offers.
type remoteCodec struct {
	codec media.Codec
	fmtp  string
}

// offeredCodecs lists what an offer has, by kind ("video", "audio"), in the remote's order.
func offeredCodecs(raw string) (map[string][]remoteCodec, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(raw); err != nil {
		return nil, fmt.Errorf("sdp: %w", err)
	}
	out := map[string][]remoteCodec{}
	for _, m := range desc.MediaDescriptions {
		kind := m.MediaName.Media
		for _, pt := range m.MediaName.Formats {
			out[kind] = append(out[kind], describeFormat(m, pt)...)
		}
	}
	return out, nil
}

// negotiatedCodecs lists what an answer settles on: the first codec of each section that is not rejected.
func negotiatedCodecs(answer string) []media.Codec {
	var desc sdp.SessionDescription
	if desc.UnmarshalString(answer) != nil {
		return nil
	}
	var out []media.Codec
	for _, m := range desc.MediaDescriptions {
		if m.MediaName.Port.Value == 0 || len(m.MediaName.Formats) == 0 {
			continue
		}
		for _, c := range describeFormat(m, m.MediaName.Formats[0]) {
			out = append(out, c.codec)
		}
	}
	return out
}

func describeFormat(m *sdp.MediaDescription, pt string) []remoteCodec {
	c := remoteCodec{}
	switch pt { // RFC 3551 section 6: static payload types need no rtpmap
	case "0":
		c.codec = media.PCMU
	case "8":
		c.codec = media.PCMA
	}
	for _, a := range m.Attributes {
		rest, ok := strings.CutPrefix(a.Value, pt+" ")
		if !ok {
			continue
		}
		switch a.Key {
		case "rtpmap":
			name, _, _ := strings.Cut(rest, "/")
			c.codec = canonical(name)
		case "fmtp":
			c.fmtp = rest
		}
	}
	if c.codec == "" {
		return nil
	}
	return []remoteCodec{c}
}

// canonical spells an encoding name as media does; SDP compares them without case.
func canonical(name string) media.Codec {
	for _, c := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1, media.Opus, media.PCMU, media.PCMA} {
		if strings.EqualFold(name, string(c)) {
			return c
		}
	}
	return media.Codec(name)
}

// names lists codecs for people, each once, without the helpers (rtx, red, ...).
func names(codecs []remoteCodec) string {
	var out []string
	for _, c := range codecs {
		switch strings.ToLower(string(c.codec)) {
		case "rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn":
			continue
		}
		if !slices.Contains(out, string(c.codec)) {
			out = append(out, string(c.codec))
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// matchCodec finds what a remote offers for a track. For H.264 that is the profile nearest to the real one: browsers list few profiles by
// name and decode more (Debian's Chromium plays High and does not offer it).
func matchCodec(t media.Track, offered []remoteCodec) (remoteCodec, bool) {
	var best remoteCodec
	score := -1
	for _, c := range offered {
		if c.codec != t.Codec {
			continue
		}
		s := 0
		if t.Codec == media.H264 {
			s = h264Score(profileOf(t), c.fmtp)
		}
		if s > score {
			best, score = c, s
		}
	}
	return best, score >= 0
}

// h264Score rates an offered H.264 format for a stream of the given profile (profile_idc and constraint flags, 4 hex digits); -1 is
// unusable: we send fragmentation units, which packetization mode 0 has not (RFC 6184 section 6.2).
func h264Score(profile, fmtp string) int {
	if fmtpValue(fmtp, "packetization-mode") != "1" {
		return -1
	}
	offered := strings.ToLower(fmtpValue(fmtp, "profile-level-id"))
	if len(offered) != 6 {
		return -1
	}
	if offered[:4] == profile {
		return 10
	}
	order := map[string][]string{ // best last
		"42": {"f4", "64", "4d", "42"},
		"4d": {"f4", "42", "64", "4d"},
		"64": {"f4", "42", "4d", "64"},
	}[profile[:2]]
	return 1 + slices.Index(order, offered[:2])
}

func fmtpValue(fmtp, key string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
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
		switch c.codec {
		case media.Opus:
			return s.add(media.Opus, opusFmtp)
		case media.PCMU, media.PCMA:
			return s.add(c.codec, "")
		}
	}
	return nil
}

// withMids gives each section of an answer that has none the mid of its offer (RFC 8829 section 5.3.1): Pion leaves it out where it
// rejects, and stumbles over that when it is to offer later.
func withMids(answer, offer string) string {
	mids := sectionMids(offer)
	var b strings.Builder
	section, own := -1, sectionMids(answer)
	for line := range strings.Lines(answer) {
		b.WriteString(line)
		if !strings.HasPrefix(line, "m=") {
			continue
		}
		if section++; section < len(mids) && own[section] == "" && mids[section] != "" {
			fmt.Fprintf(&b, "a=mid:%s\r\n", mids[section])
		}
	}
	return b.String()
}

// sectionMids lists the mid of each section; "" is none.
func sectionMids(sdp string) []string {
	var out []string
	for line := range strings.Lines(sdp) {
		switch {
		case strings.HasPrefix(line, "m="):
			out = append(out, "")
		case strings.HasPrefix(line, "a=mid:") && len(out) > 0:
			out[len(out)-1] = strings.TrimSpace(line[len("a=mid:"):])
		}
	}
	return out
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
