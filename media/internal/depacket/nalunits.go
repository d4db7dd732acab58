package depacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// What may be wrong with the payload of a packet.
var (
	errPayload  = errors.New("a packet whose payload is cut off")
	errFragment = errors.New("a fragment of a NAL unit without its beginning")
)

// shape is how the packets of a codec hold NAL units.
type shape struct {
	header    int  // bytes of a NAL unit's header
	aggregate byte // type of packets with several NAL units
	fragment  byte // type of packets with a part of one
	refused   byte // the lowest other type that is no NAL unit: for interleaved transmission, which no camera uses
}

var (
	shapeAVC  = shape{header: 1, aggregate: 24, fragment: 28, refused: 25} // RFC 6184, table 1
	shapeHEVC = shape{header: 2, aggregate: 48, fragment: 49, refused: 50} // RFC 7798, section 4.4
)

// kind returns the type in the first byte of a NAL unit or packet.
func (s shape) kind(first byte) byte {
	if s.header == 2 {
		return first >> 1 & 0x3f
	}
	return first & 0x1f
}

// withKind returns the header of a packet as that of a NAL unit of another type.
func (s shape) withKind(header []byte, kind byte) []byte {
	if s.header == 2 {
		return []byte{header[0]&0x81 | kind<<1&0x7e, header[1]}
	}
	return []byte{header[0]&0xe0 | kind&0x1f}
}

// nalUnits takes NAL units out of packets. It is gentler than the RFCs: start codes inside of a packet and a NAL unit
// in a single fragment are what cameras send.
type nalUnits struct {
	shape
	fragments [][]byte // of the NAL unit that is being put together; nil when there is none
	size      int      // their bytes
}

// pending reports whether a NAL unit lacks its end.
func (n *nalUnits) pending() bool { return n.fragments != nil }

// drop forgets the NAL unit that lacks its end.
func (n *nalUnits) drop() { n.fragments, n.size = nil, 0 }

// take returns the NAL units that end with this payload.
func (n *nalUnits) take(payload []byte) ([][]byte, error) {
	if len(payload) < n.header {
		return nil, errPayload
	}
	kind := n.kind(payload[0])
	if kind == n.fragment {
		return n.piece(payload)
	}
	n.drop()
	switch {
	case kind == n.aggregate:
		return aggregated(payload[n.header:])
	case kind >= n.refused:
		return nil, fmt.Errorf("a packet of type %d, which is not supported", kind)
	}
	return apart(payload), nil
}

// piece handles one fragment (RFC 6184 section 5.8, RFC 7798 section 4.4.3).
func (n *nalUnits) piece(payload []byte) ([][]byte, error) {
	if len(payload) < n.header+1 {
		n.drop()
		return nil, errPayload
	}
	flags, body := payload[n.header], payload[n.header+1:]
	if first := flags&0x80 != 0; first {
		n.fragments = [][]byte{n.withKind(payload, flags&0x3f)}
		n.size = n.header
	}
	if n.fragments == nil {
		return nil, errFragment
	}
	n.fragments, n.size = append(n.fragments, body), n.size+len(body)
	if n.size > maxUnit {
		n.drop()
		return nil, errBounds
	}
	if last := flags&0x40 != 0; !last {
		return nil, nil
	}
	nal := make([]byte, 0, n.size)
	for _, f := range n.fragments {
		nal = append(nal, f...)
	}
	n.drop()
	return apart(nal), nil
}

// aggregated cuts NAL units apart that each follow their length. Zero bytes at the end are padding.
func aggregated(b []byte) (nals [][]byte, err error) {
	for len(b) >= 2 {
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 && len(bytes.Trim(b, "\x00")) == 0 {
			break
		}
		if b = b[2:]; size == 0 || size > len(b) {
			return nals, errPayload
		}
		nals = append(nals, apart(b[:size:size])...)
		b = b[size:]
	}
	return nals, nil
}

// apart cuts at start codes, which cannot occur inside of a NAL unit: some cameras send a piece of a byte stream
// (H.264, annex B) in place of a NAL unit.
func apart(b []byte) (nals [][]byte) {
	code := []byte{0, 0, 1}
	if !bytes.Contains(b, code) {
		return [][]byte{b}
	}
	for more := true; more; {
		var nal []byte
		nal, b, more = bytes.Cut(b, code)
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) > 0 {
			nals = append(nals, nal[:len(nal):len(nal)])
		}
	}
	return nals
}
