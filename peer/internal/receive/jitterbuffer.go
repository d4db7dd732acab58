package receive

import (
	"time"

	"github.com/pion/rtp"
)

const (
	reorder     = 400                    // how many packets may come between one that is missing and its giving up
	reorderTime = 500 * time.Millisecond // likewise, by the clock of the stream
	// More than reorder packets that have come, and as many that may come ahead of them; divides 65536.
	ringSize  = 1024
	maxSample = 8192 // packets: ten megabytes
)

// samples puts the packets of one stream in order, and gives the payloads of those that belong together. What it does
// for a packet is bounded, whatever the remote has written into it.
type samples struct {
	// One for each sample: what a sample leaves behind must not get into the next one, nor pile up.
	parser func() rtp.Depacketizer
	marks  rtp.Depacketizer // knows where samples begin and end
	wait   int32            // reorderTime in units of the RTP clock

	ring  [ringSize]*rtp.Packet // that have come and were not taken, by sequence number
	begun bool                  // next and high are known
	next  uint16                // the first packet that was not taken
	high  uint16                // the highest that has come
	last  uint32                // its timestamp
	held  *rtp.Packet           // one that is far from there

	given bool          // there was a sample
	first uint16        // the packet that the stream begins with
	early []*rtp.Packet // those that were taken before there was a sample

	open  []*rtp.Packet // of the sample under way
	stamp uint32        // of the last packet taken
	bad   bool          // the sample of stamp is not whole; what else comes of it is left out
	lost  uint64        // packets that never came, since the last sample
	gap   bool          // something was left out since the last sample
	ready []sample
}

// sample is what the packets of one timestamp hold, up to a mark that says that this was all.
type sample struct {
	data  []byte
	stamp uint32 // RTP timestamp
	lost  uint64 // packets that never came, before this one
	gap   bool   // something is missing before this one
}

func newSamples(parser func() rtp.Depacketizer, rate uint32) *samples {
	return &samples{parser: parser, marks: parser(), wait: int32(reorderTime * time.Duration(rate) / time.Second)}
}

// push takes a packet. Two packets in a row must say that the stream goes on far from where it was (RFC 3550 appendix
// A.1).
func (s *samples) push(p *rtp.Packet) {
	if !s.begun {
		s.begun, s.first, s.next, s.high = true, p.SequenceNumber, p.SequenceNumber, p.SequenceNumber
	}
	ahead := int16(p.SequenceNumber - s.high)
	if ahead > reorder || ahead < -reorder {
		held := s.held
		s.held = p
		if held == nil || p.SequenceNumber != held.SequenceNumber+1 {
			return
		}
		s.flush()
		s.lost += uint64(max(0, ahead-2))
		s.gap = true
		s.first, s.next, s.high, s.early = held.SequenceNumber, held.SequenceNumber, held.SequenceNumber, nil
		s.ring[held.SequenceNumber%ringSize] = held
		ahead = 1
	}
	s.held = nil
	if int16(p.SequenceNumber-s.next) < 0 && !s.rewind(p.SequenceNumber) {
		return // late, and given up
	}
	if ahead >= 0 {
		s.high, s.last = p.SequenceNumber, p.Timestamp
	}
	s.ring[p.SequenceNumber%ringSize] = p
	s.advance()
}

// rewind begins the stream at an earlier packet, as long as there was no sample yet.
func (s *samples) rewind(to uint16) bool {
	if s.given || int16(to-s.first) >= 0 || s.high-to > reorder {
		return false
	}
	for _, p := range s.early {
		s.ring[p.SequenceNumber%ringSize] = p
	}
	s.reset()
	s.first, s.next, s.early, s.bad, s.lost, s.gap = to, to, nil, false, 0, false
	return true
}

// advance takes all packets up to the first one that is missing and may still come.
func (s *samples) advance() {
	for s.next != s.high+1 && (s.ring[s.next%ringSize] != nil || s.givenUp()) {
		s.step()
	}
}

// flush takes all that has come, whatever is missing.
func (s *samples) flush() {
	for s.next != s.high+1 {
		s.step()
	}
	s.finish()
}

// step takes the next packet, or goes on without.
func (s *samples) step() {
	at := s.next % ringSize
	p := s.ring[at]
	s.ring[at] = nil
	s.next++
	if p == nil {
		s.lost++
		s.spoil()
		return
	}
	s.take(p)
}

// givenUp says whether the next packet is waited for no longer.
func (s *samples) givenUp() bool {
	since := int32(s.last - s.stamp)
	return s.high-s.next >= reorder || since > s.wait || since < -s.wait
}

func (s *samples) take(p *rtp.Packet) {
	if !s.given && len(s.early) < reorder {
		s.early = append(s.early, p)
	}
	if len(p.Payload) == 0 {
		return // padding
	}
	if p.Timestamp != s.stamp {
		s.finish()
		s.bad = false
	}
	s.stamp = p.Timestamp
	if s.bad || len(s.open) == 0 && !s.marks.IsPartitionHead(p.Payload) || len(s.open) == maxSample {
		s.spoil()
		return
	}
	s.open = append(s.open, p)
	if s.marks.IsPartitionTail(p.Marker, p.Payload) {
		s.finish()
	}
}

// spoil gives up the sample under way.
func (s *samples) spoil() {
	s.gap = true
	s.bad = s.bad || len(s.open) > 0
	s.reset()
}

func (s *samples) reset() {
	clear(s.open)
	s.open = s.open[:0]
}

// finish gives the sample under way, if there is one.
func (s *samples) finish() {
	if len(s.open) == 0 {
		return
	}
	parser, size := s.parser(), 64
	for _, p := range s.open {
		size += len(p.Payload)
	}
	data := make([]byte, 0, size)
	for _, p := range s.open {
		payload, err := parser.Unmarshal(p.Payload)
		if err != nil {
			s.spoil()
			return
		}
		data = append(data, payload...)
	}
	s.ready = append(s.ready, sample{data: data, stamp: s.stamp, lost: s.lost, gap: s.gap})
	s.given, s.early, s.lost, s.gap = true, nil, 0, false
	s.reset()
}

// pop gives the next sample, if there is one.
func (s *samples) pop() (out sample, ok bool) {
	if len(s.ready) == 0 {
		return sample{}, false
	}
	out = s.ready[0]
	s.ready[0] = sample{}
	s.ready = s.ready[1:]
	return out, true
}
