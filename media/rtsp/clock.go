package rtsp

import (
	"time"

	"github.com/kvsagent/kvsagent/media/internal/es"
)

// clock makes the presentation times of one track out of the camera's.
type clock struct {
	es.Clock
	rate int64 // ticks a second
}

// pts converts ticks that came in at now. back is true when the camera's time went back, as those of B-frames do.
func (c *clock) pts(ticks int64, now time.Time) (pts time.Duration, back bool) {
	return c.At(duration(ticks, c.rate), now)
}

// duration is ticks at a rate, which may be more than a 64 bit product holds.
func duration(ticks, rate int64) time.Duration {
	return time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
}

// ticksOf returns the other way round.
func ticksOf(d time.Duration, rate int64) int64 {
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}
