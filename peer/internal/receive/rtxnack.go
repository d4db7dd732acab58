package receive

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/webrtc/v4"
)

// rtxNACK makes Pion's generator of NACKs know of packets that came in a retransmission stream (RFC 4588). By itself it
// sees only the stream that they are missing from, and goes on asking for them.
type rtxNACK struct {
	*nack.GeneratorInterceptorFactory
}

// NewInterceptor implements interceptor.Factory.
func (f rtxNACK) NewInterceptor(id string) (interceptor.Interceptor, error) {
	inner, err := f.GeneratorInterceptorFactory.NewInterceptor(id)
	return &rtxNACKInterceptor{Interceptor: inner}, err
}

type rtxNACKInterceptor struct {
	interceptor.Interceptor

	mu sync.Mutex // guards the field below
	// Tells the generator of a packet of the video stream, of which there is one; Pion does not say which stream an RTX
	// one repeats.
	note interceptor.RTPReader
}

// BindRemoteStream implements interceptor.Interceptor.
func (r *rtxNACKInterceptor) BindRemoteStream(info *interceptor.StreamInfo,
	reader interceptor.RTPReader) interceptor.RTPReader {
	if strings.EqualFold(info.MimeType, webrtc.MimeTypeRTX) {
		return r.retransmissions(reader)
	}
	note := r.Interceptor.BindRemoteStream(info, interceptor.RTPReaderFunc(
		func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) { return len(b), a, nil }))
	if strings.HasPrefix(info.MimeType, "video/") {
		r.mu.Lock()
		r.note = note
		r.mu.Unlock()
	}
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err != nil {
			return n, a, err
		}
		_, a, err = note.Read(b[:n], a)
		return n, a, err
	})
}

// retransmissions is the reader of a stream that repeats packets.
func (r *rtxNACKInterceptor) retransmissions(reader interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err != nil {
			return n, a, err
		}
		r.mu.Lock()
		note := r.note
		r.mu.Unlock()
		if seq, ok := firstNumber(b[:n]); ok && note != nil {
			header := make([]byte, wire.RTPHeaderLen)
			header[0] = 0x80
			binary.BigEndian.PutUint16(header[2:], seq)
			if _, _, err := note.Read(header, nil); err != nil {
				return n, a, err
			}
		}
		return n, a, nil
	})
}

// firstNumber is the sequence number under which a retransmitted packet was sent first (RFC 4588 section 4).
func firstNumber(b []byte) (uint16, bool) {
	if len(b) < wire.RTPHeaderLen {
		return 0, false
	}
	at := wire.RTPHeaderLen + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < at+4 {
			return 0, false
		}
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	}
	if len(b) < at+2 {
		return 0, false // a probe without a payload
	}
	return binary.BigEndian.Uint16(b[at:]), true
}
