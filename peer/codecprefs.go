package peer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/pion/webrtc/v4"
)

// A source may turn to another codec: a camera that was set anew, a slate in place of H.265. So all codecs that both sides know are negotiated, the source's
// first, and a change to one of them needs no negotiation: the packets have another payload type from one to the next.

// sendable is what we can send, in the order in which we name it.
func sendable() []media.Codec {
	return []media.Codec{media.H264, media.VP8, media.VP9, media.H265, media.AV1, media.Opus, media.PCMU, media.PCMA}
}

// addOthers registers what we could send and is not in the set yet: in the remote's words where it offers that, else in ours, for an offer later on.
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

// fit gives the tracks that the remote takes, and puts their codecs into the set in the remote's words. mute is a sound that it does not
// take though it takes others. A picture that it does not take is a RefusedError.
func (s *codecSet) fit(tracks []media.Track, offered map[string][]remoteCodec) (fitting []media.Track, mute media.Codec, err error) {
	for _, t := range tracks {
		takes := offered[kindOf(t.Codec).String()]
		match, ok := matchCodec(t, takes)
		switch {
		case ok:
			if err := s.add(t.Codec, match.Fmtp); err != nil {
				return nil, "", err
			}
			fitting = append(fitting, t)
		case t.Codec.Video():
			return nil, "", &RefusedError{fmt.Errorf("no common video codec: the remote takes %s; the source gives %s; "+
				"hint: a browser without that codec cannot show this camera", names(takes), t.Codec)}
		case len(takes) > 0:
			mute = t.Codec
		}
	}
	return fitting, mute, nil
}

// settle lets each section of what we describe name the codec first that we send: who wants only one takes that.
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
		slices.SortStableFunc(codecs, func(a, b webrtc.RTPCodecParameters) int { return rank(a, out.Codec, own) - rank(b, out.Codec, own) })
		_ = tr.SetCodecPreferences(codecs)
	}
}

// rank is 0 for a codec, 1 for its retransmissions, 2 for all others.
func rank(c webrtc.RTPCodecParameters, codec media.Codec, own []webrtc.PayloadType) int {
	if receive.CodecOf(c) == codec {
		return 0
	}
	if slices.ContainsFunc(own, func(pt webrtc.PayloadType) bool { return c.SDPFmtpLine == fmt.Sprintf("apt=%d", pt) }) {
		return 1
	}
	return 2
}

// negotiated says whether a codec may be sent in a section.
func negotiated(tr *webrtc.RTPTransceiver, codec media.Codec) bool {
	return slices.ContainsFunc(tr.Sender().GetParameters().Codecs, func(c webrtc.RTPCodecParameters) bool { return receive.CodecOf(c) == codec })
}

// outOf is the track that a transceiver sends; nil is none of ours.
func outOf(tr *webrtc.RTPTransceiver) *fanout.Track {
	s := tr.Sender()
	if s == nil {
		return nil
	}
	out, _ := s.Track().(*fanout.Track)
	return out
}
