package peer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// outTrack is one track on its way to one remote. It writes packets that others share under a header of its own: sequence numbers
// without gaps, whatever frames were dropped before.
type outTrack struct {
	codec media.Codec

	mu      sync.Mutex // guards the fields below
	w       webrtc.TrackLocalWriter
	header  rtp.Header
	base    uint32 // RTP timestamp of PTS zero
	scratch []byte
}

func newOutTrack(codec media.Codec) *outTrack {
	// RFC 3550 section 5.1: sequence numbers and timestamps start at random.
	return &outTrack{codec: codec, base: rand.Uint32(), header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}}
}

// Bind implements webrtc.TrackLocal.
func (t *outTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, c := range ctx.CodecParameters() {
		if _, name, _ := strings.Cut(c.MimeType, "/"); strings.EqualFold(name, string(t.codec)) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.w, t.header.SSRC, t.header.PayloadType = ctx.WriteStream(), uint32(ctx.SSRC()), uint8(c.PayloadType)
			return c, nil
		}
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%s was not negotiated", t.codec)
}

// Unbind implements webrtc.TrackLocal.
func (t *outTrack) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w = nil
	return nil
}

// ID implements webrtc.TrackLocal.
func (t *outTrack) ID() string {
	if t.codec.Video() {
		return "video"
	}
	return "audio"
}

// RID implements webrtc.TrackLocal: no simulcast.
func (t *outTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: audio and video of one source are one stream, so that the remote plays them in step.
func (t *outTrack) StreamID() string { return "kvsagent" }

// Kind implements webrtc.TrackLocal.
func (t *outTrack) Kind() webrtc.RTPCodecType {
	if t.codec.Video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// write sends one frame's packets.
func (t *outTrack) write(p *packets) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return nil // the remote wants no such track
	}
	t.header.Timestamp = t.base + rtpTime(p.frame.PTS, t.codec.ClockRate())
	for i := range p.payloads {
		t.header.Marker = t.codec.Video() && i == len(p.payloads)-1
		body := p.payloads[i].body
		if p.payloads[i].n > 0 {
			t.scratch = p.payloads[i].appendTo(t.scratch[:0])
			body = t.scratch
		}
		header := t.header // the interceptors add their extensions to it
		if _, err := t.w.WriteRTP(&header, body); err != nil {
			return err
		}
		t.header.SequenceNumber++
	}
	return nil
}

// rtpTime is pts in units of an RTP clock. It is exact at any age: a plain product overflows after a day.
func rtpTime(pts time.Duration, rate uint32) uint32 {
	seconds, rest := int64(pts/time.Second), int64(pts%time.Second)
	return uint32(seconds*int64(rate) + (rest*int64(rate)+int64(time.Second)/2)/int64(time.Second))
}

var _ webrtc.TrackLocal = (*outTrack)(nil)
