package fanout

import (
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// PathClass is how far away a viewer is, which tells what to begin with before its path is known.
type PathClass int

const (
	Near    PathClass = iota // in our own network, or a test's
	Far                      // somewhere on the Internet
	Relayed                  // through a TURN server
)

// relayMost is what a KVS TURN server carries (KVS dev guide, quotas: 5 Mbit/s for each allocation), less what sound
// and retransmissions need.
const relayMost = 4_500_000

// first is the rate in bit/s at which a burst begins.
func (p PathClass) first() float64 { return [...]float64{100e6, 8e6, relayMost}[p] }

// most is what the path carries at most, in bit/s; 0 is not known.
func (p PathClass) most() float64 { return [...]float64{0, 0, relayMost}[p] }

const (
	narrowFor = 20 * time.Second      // a path that was full is paced for so long
	drainFor  = 3 * time.Second       // and hardly faster than it carries
	drainOver = 1.25                  // times that
	burstOver = 2.5                   // times what a path carries is how fast a large picture goes into it
	paceLeast = 300_000               // bit/s: less is no picture
	emptyWait = 30 * time.Millisecond // packets that wait longer than this in a path have others before them
	partTime  = 4 * time.Millisecond
)

// burstRate is how fast packets may leave, in bit/s.
func (s *Sender) burstRate() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate(time.Now())
}

func (s *Sender) rate(now time.Time) float64 {
	most := s.class.first()
	if s.video == nil {
		return most
	}
	path := s.video.pathState()
	switch {
	case path.Estimate == 0 || path.FullAt.IsZero():
		return most
	case path.Full || path.Waiting > emptyWait:
		return min(max(path.Estimate, paceLeast), most)
	case now.Sub(path.FullAt) < drainFor:
		return min(max(drainOver*path.Estimate, paceLeast), most) // so that it is found out when the path carries more
	}
	return min(burstOver*max(path.Estimate, s.rates[s.level], paceLeast), most)
}

// pace is how many packets may leave at once, the rate in bit/s, and when the next may leave.
func (s *Sender) pace(now time.Time) (packets int, rate float64, drained time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate = s.rate(now)
	return min(max(1, int(rate/8*partTime.Seconds())/wire.MaxPayload), wire.PartPackets), rate, s.drainUntil
}

// upToLive says whether a sender can leave its queue.
func (s *Sender) upToLive(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && s.begun.p == nil && s.left == nil && s.direct != nil && !s.joined && !s.narrow(now)
}

// narrow says whether the path has been full of late.
func (s *Sender) narrow(now time.Time) bool {
	if s.video == nil {
		return false
	}
	path := s.video.pathState()
	return !path.FullAt.IsZero() && now.Sub(path.FullAt) < narrowFor
}
