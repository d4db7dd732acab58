package rtsp

import "time"

// When a timestamp counts as a jump of the camera's clock (a clock set by NTP, a restarted encoder) and not as jitter.
const (
	jumpBack  = 100 * time.Millisecond
	jumpAhead = time.Second
)

// clock makes the presentation times of one track out of the camera's: they never go back, and after a jump they go on from where they
// were by the time that passed here.
type clock struct {
	rate    int64 // ticks a second
	started bool
	last    time.Duration // PTS of the last packet
	arrived time.Time     // when it came
	shift   time.Duration // added to the camera's times
}

// pts converts ticks that came in at now. back is true when the camera's time went back, as those of B-frames do.
func (c *clock) pts(ticks int64, now time.Time) (pts time.Duration, back bool) {
	raw := time.Duration(ticks/c.rate)*time.Second + time.Duration(ticks%c.rate)*time.Second/time.Duration(c.rate)
	pts = raw + c.shift
	if c.started {
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
	} else {
		pts = max(pts, 0)
		c.shift = pts - raw
	}
	c.started, c.last, c.arrived = true, pts, now
	return pts, back
}
