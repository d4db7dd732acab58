package peer

import (
	"encoding/binary"
	"fmt"

	"github.com/kvsagent/kvsagent/media"
)

// maxPayload keeps an RTP packet with its header, a few header extensions and the SRTP tag under 1,200 bytes, which every path
// carries, TURN included.
const maxPayload = 1140

// payload is one RTP payload: a short head of its own, and a window on the frame's bytes.
type payload struct {
	head [2]byte
	n    uint8 // bytes of head that count
	body []byte
}

func (p *payload) size() int { return int(p.n) + len(p.body) }

// appendTo writes the payload behind b.
func (p *payload) appendTo(b []byte) []byte { return append(append(b, p.head[:p.n]...), p.body...) }

// packets is one frame as all its viewers get it: packetised once, shared, immutable.
type packets struct {
	frame    *media.Frame
	number   uint64 // counts the frames of a broadcast
	payloads []payload
	bytes    int
}

// packetise cuts a frame into RTP payloads.
func packetise(f *media.Frame) (*packets, error) {
	p := &packets{frame: f}
	switch f.Codec {
	case media.H264:
		p.payloads = packetiseH264(f.Data)
	case media.Opus, media.PCMU, media.PCMA:
		// RFC 7587 section 4.2 and RFC 3551 section 4.5.14: the frame is the payload.
		for _, d := range f.Data {
			p.payloads = append(p.payloads, payload{body: d})
		}
	default:
		return nil, fmt.Errorf("codec %s cannot be sent", f.Codec)
	}
	for i := range p.payloads {
		p.bytes += p.payloads[i].size()
	}
	return p, nil
}

// NAL unit types of H.264 and of its RTP payload format (RFC 6184 section 5.2).
const (
	nalSEI   = 6
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
	nalSTAPA = 24
	nalFUA   = 28
)

// packetiseH264 follows RFC 6184, packetization mode 1: parameter sets and other small units ahead of the slices travel together in one
// STAP-A, so that the packets of a frame form one run of equal sizes; units that do not fit are cut into FU-As.
func packetiseH264(units [][]byte) []payload {
	var out []payload
	var small [][]byte
	flush := func() {
		switch len(small) {
		case 0:
		case 1:
			out = append(out, payload{body: small[0]})
		default:
			out = append(out, payload{body: stapA(small)})
		}
		small = nil
	}
	size := 1
	for _, u := range units {
		if len(u) == 0 {
			continue
		}
		switch u[0] & 0x1f {
		case nalAUD: // says nothing that the RTP marker does not
			continue
		case nalSPS, nalPPS, nalSEI:
			if size+2+len(u) <= maxPayload {
				small = append(small, u)
				size += 2 + len(u)
				continue
			}
		}
		flush()
		size = 1
		if len(u) <= maxPayload {
			out = append(out, payload{body: u})
			continue
		}
		out = appendFUA(out, u)
	}
	flush()
	return out
}

// stapA aggregates units (RFC 6184 section 5.7.1).
func stapA(units [][]byte) []byte {
	b := []byte{nalSTAPA}
	for _, u := range units {
		b[0] |= u[0] & 0x80                          // F: any
		b[0] = max(b[0]&0x60, u[0]&0x60) | b[0]&0x9f // NRI: the highest
		b = binary.BigEndian.AppendUint16(b, uint16(len(u)))
		b = append(b, u...)
	}
	return b
}

// appendFUA cuts one unit into fragments of nearly equal size (RFC 6184 section 5.8).
func appendFUA(out []payload, u []byte) []payload {
	indicator, kind, rest := u[0]&0xe0|nalFUA, u[0]&0x1f, u[1:]
	room := maxPayload - 2
	for first := true; len(rest) > 0; first = false {
		n := min(room, len(rest))
		p := payload{head: [2]byte{indicator, kind}, n: 2, body: rest[:n]}
		if first {
			p.head[1] |= 0x80
		}
		rest = rest[n:]
		if len(rest) == 0 {
			p.head[1] |= 0x40
		}
		out = append(out, p)
	}
	return out
}
