package signaling

import "time"

// pace holds one WebSocket inside the service's limits (KVS dev guide, Limits: 5 offers, 5 answers and 20 candidates a second). It
// lets that many of a kind go at once and then no more in any second, which satisfies a token bucket and a sliding window alike: the
// service does not say which one it keeps. It is owned by the writer.
type pace struct {
	offers, answers [5]time.Time // when the last ones were sent, a ring
	candidates      [20]time.Time
	at              [3]int // next place in each ring, which holds the oldest time
}

// second is the window, with room for messages that bunch up on their way.
const second = 1100 * time.Millisecond

func (p *pace) ring(t MessageType) (times []time.Time, at *int) {
	switch t {
	case SDPOffer:
		return p.offers[:], &p.at[0]
	case SDPAnswer:
		return p.answers[:], &p.at[1]
	}
	return p.candidates[:], &p.at[2]
}

// wait says how long until a message of this type may go; 0 is now.
func (p *pace) wait(t MessageType, now time.Time) time.Duration {
	times, at := p.ring(t)
	oldest := times[*at]
	if oldest.IsZero() {
		return 0
	}
	return max(0, second-now.Sub(oldest))
}

// sent counts one.
func (p *pace) sent(t MessageType, now time.Time) {
	times, at := p.ring(t)
	times[*at] = now
	*at = (*at + 1) % len(times)
}
