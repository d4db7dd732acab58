package signaling

import (
	"context"
	"time"
)

// pace keeps one WebSocket inside the service's limits (KVS dev guide, Limits: 5 offers, 5 answers and 20 candidates a
// second). It lets that many of a kind go at once and then no more in any second. That satisfies both a token bucket
// and a sliding window; the service does not say which one it uses. The writer owns it.
type pace struct {
	offers, answers [5]time.Time // when the last ones were sent, a ring
	candidates      [20]time.Time
	at              [3]int // next index in each ring, which holds the oldest time
}

// second is the window, with a margin for messages that bunch up on their way.
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

// wait returns how long until a message of this type may go; 0 means now.
func (p *pace) wait(t MessageType, now time.Time) time.Duration {
	times, at := p.ring(t)
	oldest := times[*at]
	if oldest.IsZero() {
		return 0
	}
	return max(0, second-now.Sub(oldest))
}

// sent counts a message of type t.
func (p *pace) sent(t MessageType, now time.Time) {
	times, at := p.ring(t)
	times[*at] = now
	*at = (*at + 1) % len(times)
}

// connectPace keeps the upgrades of one client, over all its Runs, within the service's three connects a second for a
// channel. The current dial owns it; there is at most one.
type connectPace struct {
	last [3]time.Time // a ring
	at   int          // index of the oldest
}

// take waits for its turn and counts an upgrade.
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
