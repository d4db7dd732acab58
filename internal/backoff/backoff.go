// Package backoff computes how long to wait before the next attempt.
//
// Its functions are pure: the caller counts the failures and passes a random number, so that a table test or the model
// of a fleet checks the waits that the agent uses.
package backoff

import "time"

// Full is full jitter: a share u, uniform in [0,1), of base doubled n times, at most limit. It is the best way to
// spread many clients that fail together.
func Full(n int, base, limit time.Duration, u float64) time.Duration {
	return Scale(grow(n, base, limit), u)
}

// Around returns base doubled n times, at most limit, plus or minus a half, for a caller that must wait a minimum.
func Around(n int, base, limit time.Duration, u float64) time.Duration {
	return Scale(grow(n, base, limit), 0.5+u)
}

// Scale returns d times f.
func Scale(d time.Duration, f float64) time.Duration { return time.Duration(float64(d) * f) }

func grow(n int, base, limit time.Duration) time.Duration {
	for ; n > 0 && base < limit; n-- {
		if base > limit/2 {
			return limit
		}
		base *= 2
	}
	return min(base, limit)
}
