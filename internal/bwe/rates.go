package bwe

import "time"

// rates sums what happened in the last window, in slots.
type rates struct {
	slot [slots + 1]struct {
		number int64
		n      int
	}
}

func (r *rates) add(at time.Duration, n int) {
	number := int64(at / slot)
	s := &r.slot[uint64(number)%uint64(len(r.slot))]
	if s.number != number {
		if s.number > number {
			return // long ago
		}
		s.number, s.n = number, 0
	}
	s.n += n
}

// bits returns a rate in bit/s over the last n whole slots before now.
func (r *rates) bits(now time.Duration, n int) float64 {
	number := int64(now / slot)
	total := 0
	for i := range r.slot {
		if s := &r.slot[i]; s.number < number && s.number >= number-int64(n) {
			total += s.n
		}
	}
	return float64(total*8) / (time.Duration(n) * slot).Seconds()
}

// began reports whether there were events already when the window began.
func (r *rates) began(now time.Duration) bool {
	number := int64(now / slot)
	for i := range r.slot {
		if s := &r.slot[i]; s.n > 0 && s.number <= number-int64(slots)+2 && s.number >= number-int64(slots) {
			return true
		}
	}
	return false
}
