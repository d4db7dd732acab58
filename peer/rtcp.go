package peer

import (
	"encoding/binary"
	"iter"
)

// rtcpKind is what an RTCP packet is, as far as we ask before it is parsed.
type rtcpKind int

const (
	rtcpOther          rtcpKind = iota
	rtcpReceiverReport          // RFC 3550 section 6.4.2
	rtcpDescription             // SDES, RFC 3550 section 6.5
	rtcpNACK                    // RFC 4585 section 6.2.1
	rtcpFeedback                // transport-wide congestion control
	rtcpREMB                    // draft-alvestrand-rmcat-remb-03
	rtcpKeyRequest              // PLI and FIR, RFC 4585 section 6.3.1, RFC 5104 section 4.3.1
)

// kindOfRTCP goes by packet type and format. p is a packet of rtcpPackets.
func kindOfRTCP(p []byte) rtcpKind {
	switch format := p[0] & 0x1f; {
	case p[1] == 201:
		return rtcpReceiverReport
	case p[1] == 202:
		return rtcpDescription
	case p[1] == 205 && format == 1:
		return rtcpNACK
	case p[1] == 205 && format == 15:
		return rtcpFeedback
	case p[1] == 206 && format == 15:
		return rtcpREMB
	case p[1] == 206 && (format == 1 || format == 4):
		return rtcpKeyRequest
	}
	return rtcpOther
}

// rtcpPackets walks over a compound packet (RFC 3550 section 6.1). It ends before a packet that is cut short.
func rtcpPackets(compound []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(compound) >= 4 {
			n := 4 + 4*int(binary.BigEndian.Uint16(compound[2:]))
			if n > len(compound) || !yield(compound[:n:n]) {
				return
			}
			compound = compound[n:]
		}
	}
}
