package impair

import (
	"math/rand/v2"
	"time"
)

// Link says what happens to packets that go one way. The zero value passes everything on at once.
type Link struct {
	Rate int64 // bits a second, with UDP and IP headers; 0 is as fast as they come
	// The longest that a packet waits for its turn at Rate; one that would wait longer is lost (drop tail). Default
	// 200ms.
	Queue   time.Duration
	Delay   time.Duration // for every packet
	Jitter  time.Duration // up to so much more, evenly spread; the order is kept
	Loss    float64       // share that is lost at random
	Reorder float64       // share that comes Late after its turn, so that others overtake it
	Late    time.Duration // default 10ms
}

const (
	defaultQueue = 200 * time.Millisecond
	defaultLate  = 10 * time.Millisecond
	headers      = 28 // bytes of IPv4 and UDP before the payload
)

// Counts is what became of packets that went one way. Those that are on their way still are in Packets alone.
type Counts struct {
	Packets, Bytes uint64        // that came in; payload
	Passed, Out    uint64        // packets that came out, and their bytes
	Lost           uint64        // at random
	Dropped        uint64        // because the queue was full
	Late           uint64        // out of order
	Waiting        time.Duration // how long a packet that comes in now would wait for its turn
}

// clock is the arithmetic of a link: when which packet comes out. It knows nothing of sockets and goroutines.
type clock struct {
	link   Link
	chance *rand.Rand
	free   time.Time // when the last packet of the queue has gone out at Rate
	last   time.Time // when the last packet comes that is in order
	counts Counts
}

func newClock(seed uint64) *clock {
	return &clock{chance: rand.New(rand.NewPCG(seed, seed))}
}

// admit takes a packet of n bytes of payload that comes in now, and says when it comes out; ok is false when it never
// does.
func (c *clock) admit(now time.Time, n int) (out time.Time, ok bool) {
	c.counts.Packets++
	c.counts.Bytes += uint64(n)
	// Each packet draws the same lots, whatever the link, so that a change of one figure leaves the others' luck as it
	// was.
	lost, jitter, late := c.chance.Float64() < c.link.Loss, c.chance.Float64(), c.chance.Float64() < c.link.Reorder
	if c.waits(now) > c.queue() {
		c.counts.Dropped++
		return out, false
	}
	out = now
	if c.link.Rate > 0 {
		c.free = now.Add(c.waits(now) + time.Duration(int64(n+headers)*8*int64(time.Second)/c.link.Rate))
		out = c.free
	}
	if lost { // beyond the queue, as on the air: it has used the rate
		c.counts.Lost++
		return out, false
	}
	out = out.Add(c.link.Delay + time.Duration(jitter*float64(c.link.Jitter)))
	if out.Before(c.last) {
		out = c.last
	}
	c.last = out
	if late {
		c.counts.Late++
		out = out.Add(c.late())
	}
	return out, true
}

// waits is how long what stands in the queue needs.
func (c *clock) waits(now time.Time) time.Duration { return max(0, c.free.Sub(now)) }

func (c *clock) queue() time.Duration {
	if c.link.Queue == 0 {
		return defaultQueue
	}
	return c.link.Queue
}

func (c *clock) late() time.Duration {
	if c.link.Late == 0 {
		return defaultLate
	}
	return c.link.Late
}
