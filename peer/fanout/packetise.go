package fanout

import (
	"encoding/binary"
	"fmt"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtp/codecs"
)

// payload is one RTP payload: a short head of its own, and a window on the frame's bytes.
type payload struct {
	head [3]byte
	n    uint8 // bytes of head that count
	body []byte
}

func (p *payload) size() int { return int(p.n) + len(p.body) }

// appendTo writes the payload behind b.
func (p *payload) appendTo(b []byte) []byte { return append(append(b, p.head[:p.n]...), p.body...) }

// packets is one frame as all its viewers get it: packetised once, shared, immutable.
type packets struct {
	frame    *media.Frame
	level    Level
	number   uint64 // counts the frames of a broadcast
	payloads []payload
	bytes    int
}

// packetiser cuts the frames of one source into RTP payloads. The zero value is ready.
type packetiser struct {
	vp9 codecs.VP9Payloader // numbers the pictures
	av1 codecs.AV1Payloader
}

func (z *packetiser) packetise(f *media.Frame) (*packets, error) {
	p := &packets{frame: f}
	switch f.Codec {
	case media.H264:
		p.payloads = packetiseNAL(f.Data, formatH264)
	case media.H265:
		p.payloads = packetiseNAL(f.Data, formatH265)
	case media.VP8:
		for _, d := range f.Data {
			p.payloads = appendVP8(p.payloads, d)
		}
	case media.VP9:
		for _, d := range f.Data {
			p.payloads = appendWhole(p.payloads, z.vp9.Payload(wire.MaxPayload, d))
		}
	case media.AV1:
		for _, d := range f.Data {
			p.payloads = appendWhole(p.payloads, z.av1.Payload(wire.MaxPayload, d))
		}
	case media.Opus, media.PCMU, media.PCMA:
		// RFC 7587 section 4.2 and RFC 3551 section 4.5.14: the frame is the payload.
		p.payloads = appendWhole(p.payloads, f.Data)
	default:
		return nil, fmt.Errorf("codec %s cannot be sent", f.Codec)
	}
	for i := range p.payloads {
		p.bytes += p.payloads[i].size()
	}
	return p, nil
}

func appendWhole(out []payload, bodies [][]byte) []payload {
	for _, b := range bodies {
		out = append(out, payload{body: b})
	}
	return out
}

// appendVP8 puts one byte of descriptor before each piece of a frame (RFC 7741 section 4.2): S marks the first.
func appendVP8(out []payload, frame []byte) []payload {
	descriptor := byte(0x10)
	for len(frame) > 0 {
		n := min(wire.MaxPayload-1, len(frame))
		out = append(out, payload{head: [3]byte{descriptor}, n: 1, body: frame[:n]})
		frame, descriptor = frame[n:], 0
	}
	return out
}

// nalFormat is how H.264 (RFC 6184, packetization mode 1) and H.265 (RFC 7798) differ in RTP; else they are alike.
type nalFormat struct {
	header     int // bytes of a unit's header
	kind       func(unit []byte) byte
	skip       byte // access unit delimiters say nothing that the RTP marker does not
	small      func(kind byte) bool
	aggregate  func(units [][]byte) []byte
	fragmented func(unit []byte) payload // the head of a fragment
}

var formatH264 = nalFormat{
	header: 1,
	kind:   func(u []byte) byte { return u[0] & 0x1f },
	skip:   9,
	small:  func(k byte) bool { return k >= 6 && k <= 8 }, // SEI, SPS, PPS
	aggregate: func(units [][]byte) []byte { // STAP-A, section 5.7.1: F if any, the highest NRI
		b := byte(24)
		for _, u := range units {
			b = b&0x9f | u[0]&0x80 | max(b&0x60, u[0]&0x60)
		}
		return []byte{b}
	},
	fragmented: func(u []byte) payload { // FU-A, section 5.8
		return payload{head: [3]byte{u[0]&0xe0 | 28, u[0] & 0x1f}, n: 2}
	},
}

var formatH265 = nalFormat{
	header:    2,
	kind:      func(u []byte) byte { return u[0] >> 1 & 0x3f },
	skip:      35,
	small:     func(k byte) bool { return k >= 32 && k <= 34 || k == 39 },          // VPS, SPS, PPS, SEI
	aggregate: func(units [][]byte) []byte { return []byte{48 << 1, units[0][1]} }, // AP, section 4.4.2
	fragmented: func(u []byte) payload { // FU, section 4.4.3
		return payload{head: [3]byte{u[0]&0x81 | 49<<1, u[1], u[0] >> 1 & 0x3f}, n: 3}
	},
}

// packetiseNAL sends parameter sets and other small units ahead of the slices together in one aggregate, so that the
// packets of a frame form one run of equal sizes; units that do not fit are cut into fragments.
func packetiseNAL(units [][]byte, z nalFormat) []payload {
	var out []payload
	var small [][]byte
	size := z.header
	flush := func() {
		switch len(small) {
		case 0:
		case 1:
			out = append(out, payload{body: small[0]})
		default:
			b := z.aggregate(small)
			for _, u := range small {
				b = append(binary.BigEndian.AppendUint16(b, uint16(len(u))), u...)
			}
			out = append(out, payload{body: b})
		}
		small, size = nil, z.header
	}
	for _, u := range units {
		if len(u) <= z.header || z.kind(u) == z.skip {
			continue
		}
		if z.small(z.kind(u)) && z.header+2+len(u) <= wire.MaxPayload {
			if size+2+len(u) > wire.MaxPayload {
				flush()
			}
			small = append(small, u)
			size += 2 + len(u)
			continue
		}
		flush()
		if len(u) <= wire.MaxPayload {
			out = append(out, payload{body: u})
			continue
		}
		out = appendFragments(out, u, z)
	}
	flush()
	return out
}

// appendFragments cuts one unit. The last byte of a fragment's head has the unit's type, and the marks of the first and
// the last.
func appendFragments(out []payload, u []byte, z nalFormat) []payload {
	head := z.fragmented(u)
	mark := head.n - 1
	room := wire.MaxPayload - int(head.n)
	rest := u[z.header:]
	for first := true; len(rest) > 0; first = false {
		p := head
		p.body = rest[:min(room, len(rest))]
		rest = rest[len(p.body):]
		if first {
			p.head[mark] |= 0x80
		}
		if len(rest) == 0 {
			p.head[mark] |= 0x40
		}
		out = append(out, p)
	}
	return out
}
