package rtsp

import (
	"time"

	"github.com/kvsagent/kvsagent/media/internal/es"
)

// clock converts the camera's times of one track to presentation times.
type clock struct {
	es.Clock
	rate int64 // ticks a second
}

// pts converts ticks that arrived at now. back is true when the camera's time went back, as with B-frames.
func (c *clock) pts(ticks int64, now time.Time) (pts time.Duration, back bool) {
	return c.At(duration(ticks, c.rate), now)
}

// measured returns what corrects the clock.
func (c *clock) measured() *es.Rate {
	if c.Rate == nil {
		c.Rate = &es.Rate{}
	}
	return c.Rate
}

// duration converts ticks at a rate, without overflow of the 64-bit product.
func duration(ticks, rate int64) time.Duration {
	return time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
}

// ticksOf is the inverse of duration: it takes the nearest tick.
func ticksOf(d time.Duration, rate int64) int64 {
	half := int64(time.Second / 2)
	if d < 0 {
		half = -half
	}
	return int64(d/time.Second)*rate + (int64(d%time.Second)*rate+half)/int64(time.Second)
}
