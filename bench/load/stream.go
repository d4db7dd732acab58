package load

import (
	"encoding/binary"
	"time"
)

// header is what RTP says in the clear.
type header struct {
	marker    bool
	kind      uint8 // payload type
	sequence  uint16
	timestamp uint32
	ssrc      uint32
}

func parseHeader(b []byte) header {
	return header{
		marker: b[1]&0x80 != 0, kind: b[1] & 0x7f,
		sequence: binary.BigEndian.Uint16(b[2:]), timestamp: binary.BigEndian.Uint32(b[4:]),
		ssrc: binary.BigEndian.Uint32(b[8:]),
	}
}

// maxMissing bounds the holes that one stream keeps. Older ones are lost for good.
const maxMissing = 4096

// stream follows one SSRC: holes, repeats, and whether sequence numbers and timestamps go on as they should.
type stream struct {
	rate uint32 // of the RTP clock, Hz
	step uint32 // of the timestamp from one frame to the next

	started bool
	last    header
	first   int64 // extended sequence numbers (RFC 3550 appendix A.1)
	highest int64
	missing map[int64]*missing // sent and not yet come

	unique, repeated, late uint64
	breaks                 uint64 // a timestamp that moves within a frame, or does not between two
	skipped                uint64 // frames that a step of the timestamp leaves out

	transit, jitter float64 // RFC 3550 appendix A.8, in ticks

	// Of the last sender report, for ours (RFC 3550 section 6.4.1).
	report   uint32
	reportAt time.Time

	// What the last receiver report said.
	reportedHighest int64
	reportedUnique  uint64
}

// missing is one packet that has not come.
type missing struct {
	since, asked time.Time
	times        int // that it was asked for
}

func newStream(rate, step uint32) *stream {
	return &stream{rate: rate, step: step, missing: map[int64]*missing{}}
}

// arrive takes one packet.
func (s *stream) arrive(h header, at time.Time) {
	if !s.started {
		s.started, s.last, s.first, s.highest, s.unique = true, h, int64(h.sequence), int64(h.sequence), 1
		return
	}
	n := s.extend(h.sequence)
	switch {
	case n == s.highest+1:
		s.check(h)
	case n > s.highest:
		for hole := max(s.highest+1, n-maxMissing); hole < n && len(s.missing) < maxMissing; hole++ {
			s.missing[hole] = &missing{since: at}
		}
	case s.fill(n):
		return
	default:
		s.repeated++
		return
	}
	s.unique++
	s.highest, s.last = n, h
	s.measureJitter(h, at)
}

// extend is the extended number of a sequence number near the highest.
func (s *stream) extend(sequence uint16) int64 {
	return s.highest + int64(int16(sequence-uint16(s.highest)))
}

// fill takes a packet that was missing, and reports whether it was.
func (s *stream) fill(n int64) bool {
	if s.missing[n] == nil {
		return false
	}
	delete(s.missing, n)
	s.late++
	s.unique++
	return true
}

// fillOldest takes the packet that was asked for first.
func (s *stream) fillOldest() {
	oldest := int64(-1)
	for n, m := range s.missing {
		if m.times > 0 && (oldest < 0 || n < oldest) {
			oldest = n
		}
	}
	s.fill(oldest)
}

// check compares a packet with the one right before it.
func (s *stream) check(h header) {
	moved := int32(h.timestamp - s.last.timestamp)
	video := s.rate == videoRate
	switch {
	case video && !s.last.marker:
		if moved != 0 {
			s.breaks++
		}
	case moved <= 0:
		s.breaks++
	default:
		if steps := (uint32(moved) + s.step/2) / s.step; steps > 1 {
			s.skipped += uint64(steps - 1)
		}
	}
}

func (s *stream) measureJitter(h header, at time.Time) {
	transit := float64(at.UnixNano()%1e12)/1e9*float64(s.rate) - float64(h.timestamp)
	if d := transit - s.transit; s.transit != 0 && d > -1e6 && d < 1e6 {
		s.jitter += (max(d, -d) - s.jitter) / 16
	}
	s.transit = transit
}
