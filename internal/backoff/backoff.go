// Package backoff says how long to wait before the next try.
//
// Its functions are pure: the caller counts the failures and brings the chance, so that a table or the model of a fleet
// tests the very waits that the agent uses.
package backoff

import "time"

// Full is full jitter: a share u, uniform in [0,1), of base doubled n times, at most limit. It spreads many who fail
// together best.
func Full(n int, base, limit time.Duration, u float64) time.Duration {
	return Scale(grow(n, base, limit), u)
}

// Around is base doubled n times, at most limit, give or take a half, for one who is to be slow for sure.
func Around(n int, base, limit time.Duration, u float64) time.Duration {
	return Scale(grow(n, base, limit), 0.5+u)
}

// Scale is d times f.
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
