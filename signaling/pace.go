package signaling

import (
	"context"
	"time"
)

// pace holds one WebSocket inside the service's limits (KVS dev guide, Limits: 5 offers, 5 answers and 20 candidates a
// second). It lets that many of a kind go at once and then no more in any second, which satisfies a token bucket and a
// sliding window alike: the service does not say which one it keeps. It is owned by the writer.
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

// connectPace holds the upgrades of one client, of all its Runs, within the service's three connects a second for a
// channel, whatever the policy and the service want. It is owned by the dial under way, of which there is one at most.
type connectPace struct {
	last [3]time.Time // a ring
	at   int          // of the oldest
}

// take waits for its turn and counts one.
func (p *connectPace) take(ctx context.Context) error {
	if oldest := p.last[p.at]; !oldest.IsZero() {
		turn := time.NewTimer(second - time.Since(oldest))
		defer turn.Stop()
		select {
		case <-turn.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.last[p.at] = time.Now()
	p.at = (p.at + 1) % len(p.last)
	return nil
}
