package receive

import (
	"fmt"
	"slices"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Undeclared finds the section of a stream that no a=ssrc announces, as in GStreamer's and libdatachannel's answers,
// and that Pion leaves alone. It goes by the packet's mid (RFC 9143 section 9.2), else by its payload type. The track
// is nil for more streams of a section that has one: its retransmissions, and what a remote sends anew.
func Undeclared(pc *webrtc.PeerConnection, ssrc uint32, packet []byte) (*webrtc.TrackRemote, error) {
	var h rtp.Header
	if _, err := h.Unmarshal(packet); err != nil {
		return nil, fmt.Errorf("media that is not RTP: %w", err)
	}
	section := sectionOf(pc, &h)
	if section == nil {
		return nil, fmt.Errorf("media that belongs to no section of the answer (payload type %d, SSRC %d); hint: "+
			"the master must send the payload types that it has answered", h.PayloadType, ssrc)
	}
	receiver := section.Receiver()
	if len(receiver.Tracks()) > 0 {
		return nil, nil
	}
	if err := receiver.Receive(webrtc.RTPReceiveParameters{Encodings: []webrtc.RTPDecodingParameters{{
		RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(ssrc),
			PayloadType: webrtc.PayloadType(h.PayloadType)},
	}}}); err != nil {
		return nil, fmt.Errorf("media that was not declared: %w", err)
	}
	return receiver.Track(), nil
}

// sectionOf is the section that a packet belongs to; nil is none.
func sectionOf(pc *webrtc.PeerConnection, h *rtp.Header) *webrtc.RTPTransceiver {
	var byType *webrtc.RTPTransceiver
	for _, tr := range pc.GetTransceivers() {
		if tr.Receiver() == nil {
			continue
		}
		p := tr.Receiver().GetParameters()
		for _, e := range p.HeaderExtensions {
			if mid := h.GetExtension(uint8(e.ID)); e.URI == sdp.SDESMidURI && mid != nil && string(mid) == tr.Mid() {
				return tr
			}
		}
		if byType == nil && slices.ContainsFunc(p.Codecs, func(c webrtc.RTPCodecParameters) bool {
			return uint8(c.PayloadType) == h.PayloadType
		}) {
			byType = tr
		}
	}
	return byType
}
