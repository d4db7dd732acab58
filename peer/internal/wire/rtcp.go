package wire

import (
	"encoding/binary"
	"iter"
	"math"
)

// rtcpKind is what an RTCP packet is, as far as we ask before it is parsed.
type rtcpKind int

const (
	RTCPOther          rtcpKind = iota
	RTCPReceiverReport          // RFC 3550 section 6.4.2
	rtcpExtended                // XR, RFC 3611: not read here
	rtcpDescription             // SDES, RFC 3550 section 6.5
	RTCPNACK                    // RFC 4585 section 6.2.1
	rtcpFeedback                // transport-wide congestion control
	RTCPREMB                    // draft-alvestrand-rmcat-remb-03
	RTCPKeyRequest              // PLI and FIR, RFC 4585 section 6.3.1, RFC 5104 section 4.3.1
)

// KindOfRTCP goes by packet type and format. p is a packet of rtcpPackets.
func KindOfRTCP(p []byte) rtcpKind {
	switch format := p[0] & 0x1f; {
	case p[1] == 201:
		return RTCPReceiverReport
	case p[1] == 202:
		return rtcpDescription
	case p[1] == 207:
		return rtcpExtended
	case p[1] == 205 && format == 1:
		return RTCPNACK
	case p[1] == 205 && format == 15:
		return rtcpFeedback
	case p[1] == 206 && format == 15:
		return RTCPREMB
	case p[1] == 206 && (format == 1 || format == 4):
		return RTCPKeyRequest
	}
	return RTCPOther
}

// CompoundMost is of how many packets a compound packet is made at most. Browsers put together about five.
const CompoundMost = 64

// RTCPPackets walks over a compound packet (RFC 3550 section 6.1). It ends before a packet that is cut short, and after
// CompoundMost.
func RTCPPackets(compound []byte) iter.Seq[[]byte] { return rtcpPackets(compound, CompoundMost) }

// CountRTCP says how many packets of a kind a compound packet is made of, however many there are in all.
func CountRTCP(compound []byte, kind rtcpKind) (n int) {
	for p := range rtcpPackets(compound, len(compound)) {
		if KindOfRTCP(p) == kind {
			n++
		}
	}
	return n
}

func rtcpPackets(compound []byte, most int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for left := most; len(compound) >= 4 && left > 0; left-- {
			n := 4 + 4*int(binary.BigEndian.Uint16(compound[2:]))
			if n > len(compound) || !yield(compound[:n:n]) {
				return
			}
			compound = compound[n:]
		}
	}
}

// ReportBlock is what a receiver report tells of one stream (RFC 3550 section 6.4.1), read where it lies.
//
//	| SSRC | fraction lost, 8 bits | lost, 24 bits | highest number | jitter | last sender report | delay since |
type ReportBlock []byte

const reportBlockLen = 24

// The fields of a report block (RFC 3550 section 6.4.1). Lost is the share of packets lost since the last one, Delay
// the time since the last sender report, in 1/65536 s.

func (r ReportBlock) SSRC() uint32      { return binary.BigEndian.Uint32(r) }
func (r ReportBlock) Lost() float64     { return float64(r[4]) / 256 }
func (r ReportBlock) TotalLost() uint32 { return binary.BigEndian.Uint32(r[4:]) & 0xffffff }
func (r ReportBlock) Jitter() uint32    { return binary.BigEndian.Uint32(r[12:]) }
func (r ReportBlock) LastSR() uint32    { return binary.BigEndian.Uint32(r[16:]) }
func (r ReportBlock) Delay() uint32     { return binary.BigEndian.Uint32(r[20:]) }

// ReportBlocks walks over the blocks of a receiver report that are there in full.
func ReportBlocks(p []byte) iter.Seq[ReportBlock] {
	return func(yield func(ReportBlock) bool) {
		blocks := p[min(rtcpHeaderLen, len(p)):]
		for left := p[0] & 0x1f; left > 0 && len(blocks) >= reportBlockLen; left-- {
			if !yield(ReportBlock(blocks[:reportBlockLen])) {
				return
			}
			blocks = blocks[reportBlockLen:]
		}
	}
}

// REMBRate is what a receiver estimates that the path carries, in bit/s (draft-alvestrand-rmcat-remb-03 section 2.2):
// an exponent of 6 bits and a mantissa of 18, behind the header, two SSRCs, "REMB" and a count.
func REMBRate(p []byte) (rate float64, ok bool) {
	if len(p) < 20 || string(p[12:16]) != "REMB" {
		return 0, false
	}
	word := binary.BigEndian.Uint32(p[16:])
	return math.Ldexp(float64(word&0x3ffff), int(word>>18&0x3f)), true
}

// EachFeedback finds transport-wide feedback in a compound RTCP packet, and hands on what follows its header and SSRCs.
func EachFeedback(compound []byte, each func(fci []byte)) {
	told := 0
	for p := range RTCPPackets(compound) {
		if KindOfRTCP(p) != rtcpFeedback || len(p) < 16 {
			continue
		}
		if told += int(binary.BigEndian.Uint16(p[14:])); told > feedbackMost {
			return
		}
		each(p[12:])
	}
}

// feedbackMost is of how many packets the transport-wide feedback of one datagram may tell: as many as are remembered.
// A message of 20 bytes can name 65,535.
const feedbackMost = 2048
