package es

import "time"

// When a time counts as a jump of the stream's clock (set by NTP, a restarted encoder) and not as jitter.
const (
	jumpBack  = 100 * time.Millisecond
	jumpAhead = time.Second
)

// clock keeps the times of one track: they never go back, and after a jump they go on from where they were by the time that passed here.
type clock struct {
	started bool
	last    time.Duration // PTS of the last unit
	arrived time.Time     // when it came
	shift   time.Duration // added to the stream's times
}

// at is the PTS of a unit that is at raw by the stream's clock and came at now. back says that the stream's time went back, as with B-frames.
func (c *clock) at(raw time.Duration, now time.Time) (pts time.Duration, back bool) {
	pts = raw + c.shift
	switch {
	case !c.started:
		// The other track may have begun long ago by another clock.
		if pts < 0 || pts > time.Minute {
			pts = 0
		}
		c.shift = pts - raw
	default:
		passed := max(0, now.Sub(c.arrived))
		step := pts - c.last
		back = step < 0
		switch {
		case step < -jumpBack || step > passed+jumpAhead:
			pts = c.last + passed
			c.shift = pts - raw
		case back:
			pts = c.last
		}
	}
	c.started, c.last, c.arrived = true, pts, now
	return pts, back
}
