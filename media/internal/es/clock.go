package es

import "time"

// When a step counts as a jump of the stream's clock (set by NTP, a restarted encoder) and not as jitter, and how long
// the clock may stand still before it is ignored.
const (
	jumpBack  = 100 * time.Millisecond
	jumpAhead = time.Second
	standMost = 500 * time.Millisecond
)

// Clock keeps the times of one track. They never go back. After a jump they continue from where they were, by the time
// that passed here. A clock that stands still is ignored after a while, and only the time that passes here counts. The
// zero value is ready.
type Clock struct {
	Rate *Rate // corrects the times first; nil believes their rate

	started bool
	last    time.Duration // PTS of the last unit
	arrived time.Time     // when it came
	shift   time.Duration // added to the stream's times
	stood   time.Duration // how long the stream's clock has stood still
}

// At returns the PTS of a unit with time raw on the stream's clock that arrived at now. back reports that the stream's
// time went back, as with B-frames.
func (c *Clock) At(raw time.Duration, now time.Time) (pts time.Duration, back bool) {
	if c.Rate != nil {
		raw = c.Rate.At(raw, now)
	}
	pts = raw + c.shift
	switch {
	case !c.started:
		// The other track may have begun long ago on another clock.
		if pts < 0 || pts > time.Minute {
			pts = 0
		}
		c.shift = pts - raw
	default:
		passed := max(0, now.Sub(c.arrived))
		step := pts - c.last
		back = step < 0
		if c.stood += passed; step > 0 {
			c.stood = 0
		}
		switch {
		case step < -jumpBack || step > passed+jumpAhead || c.stood > standMost:
			pts = c.last + passed
			c.shift = pts - raw
		case back:
			pts = c.last
		}
	}
	c.started, c.last, c.arrived = true, pts, now
	return pts, back
}
