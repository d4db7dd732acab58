package peer

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/webrtc/v4"
)

// restoredNACK makes Pion's generator of NACKs know of packets that came in a retransmission stream (RFC 4588). By itself it sees only the stream that they are
// missing from, and goes on asking for them.
type restoredNACK struct {
	*nack.GeneratorInterceptorFactory
}

// NewInterceptor implements interceptor.Factory.
func (f restoredNACK) NewInterceptor(id string) (interceptor.Interceptor, error) {
	inner, err := f.GeneratorInterceptorFactory.NewInterceptor(id)
	return &restored{Interceptor: inner, note: map[string]interceptor.RTPReader{}}, err
}

type restored struct {
	interceptor.Interceptor

	mu   sync.Mutex
	note map[string]interceptor.RTPReader // by payload type, as an RTX format names it: tells the generator of the packet that is read
}

// BindRemoteStream implements interceptor.Interceptor.
func (r *restored) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	if strings.EqualFold(info.MimeType, webrtc.MimeTypeRTX) {
		return r.retransmissions(fmtpValue(info.SDPFmtpLine, "apt"), reader)
	}
	note := r.Interceptor.BindRemoteStream(info, interceptor.RTPReaderFunc(
		func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) { return len(b), a, nil }))
	r.mu.Lock()
	r.note[strconv.Itoa(int(info.PayloadType))] = note
	r.mu.Unlock()
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err != nil {
			return n, a, err
		}
		_, a, err = note.Read(b[:n], a)
		return n, a, err
	})
}

// retransmissions is a reader of a stream that repeats packets of the payload type apt.
func (r *restored) retransmissions(apt string, reader interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err != nil {
			return n, a, err
		}
		r.mu.Lock()
		note := r.note[apt]
		r.mu.Unlock()
		if seq, ok := firstNumber(b[:n]); ok && note != nil {
			header := make([]byte, rtpHeaderLen)
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
	if len(b) < rtpHeaderLen {
		return 0, false
	}
	at := rtpHeaderLen + 4*int(b[0]&0x0f)
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
