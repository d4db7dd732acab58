package rig

import (
	"encoding/json"
	"slices"
	"time"
)

// Shown is a picture that a browser has presented.
type Shown struct {
	At    time.Time
	n     int           // its number, modulo clipFrames; -1 when a bit was not clear, unread when there were none
	Width int           // pixels
	Right bool          // its bars have their colours
	Age   time.Duration // since the camera has made it
}

// unread is the number of a picture that was presented and could not be looked at.
const unread = -2

// Film is what a page has presented, in order.
type Film []Shown

// MarshalJSON writes rows of seconds since the first picture, its number, its width, and its age in milliseconds.
func (f Film) MarshalJSON() ([]byte, error) {
	rows := make([][4]float64, len(f))
	for i, s := range f {
		rows[i] = [4]float64{s.At.Sub(f[0].At).Seconds(), float64(s.n), float64(s.Width), Millis(s.Age)}
	}
	return json.Marshal(rows)
}

// Garbled are the pictures that are not what the camera has made.
func (f Film) Garbled() (bad Film) {
	for _, s := range f {
		if s.n != unread && (s.n < 0 || !s.Right) {
			bad = append(bad, s)
		}
	}
	return bad
}

// Readable is without the pictures that could not be looked at.
func (f Film) Readable() Film {
	return slices.DeleteFunc(slices.Clone(f), func(s Shown) bool { return s.n < 0 })
}

// Freezes counts gaps that people see, and gives the longest gap of all.
func (f Film) Freezes() (count int, longest time.Duration) {
	for i := 1; i < len(f); i++ {
		gap := f[i].At.Sub(f[i-1].At)
		longest = max(longest, gap)
		if gap > FreezeGap {
			count++
		}
	}
	return count, longest
}

// On is the picture on the screen at some time; ok is false before the first.
func (f Film) On(at time.Time) (s Shown, ok bool) {
	i, found := slices.BinarySearchFunc(f, at, func(s Shown, at time.Time) int { return s.At.Compare(at) })
	if found {
		i++
	}
	if i == 0 {
		return s, false
	}
	return f[i-1], true
}

// Between is what was presented from from on, before to.
func (f Film) Between(from, to time.Time) Film {
	start, _ := slices.BinarySearchFunc(f, from, func(s Shown, at time.Time) int { return s.At.Compare(at) })
	end, _ := slices.BinarySearchFunc(f, to, func(s Shown, at time.Time) int { return s.At.Compare(at) })
	return f[start:max(start, end)]
}

// Slow looks at each second between from and to, a tick after the other, and gives the fewest pictures in one, and how
// long the longest stretch is that has less than fps pictures in each of its seconds; 0 when there is no such second.
func (f Film) Slow(from, to time.Time, fps int) (fewest int, longest time.Duration) {
	fewest = 1 << 30
	var since time.Time
	for at := from; !at.Add(time.Second).After(to); at = at.Add(ReelTick) {
		n := len(f.Between(at, at.Add(time.Second)))
		fewest = min(fewest, n)
		if n >= fps {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = at
		}
		longest = max(longest, at.Add(time.Second).Sub(since))
	}
	return fewest, longest
}

// Live is the first picture, from from on, that is less than limit old; ok is false when there is none.
func (f Film) Live(from time.Time, limit time.Duration) (s Shown, ok bool) {
	for _, s := range f {
		if !s.At.Before(from) && s.n >= 0 && s.Age < limit {
			return s, true
		}
	}
	return s, false
}

// FreezeGap is a gap that W3C's "Identifiers for WebRTC's Statistics API" calls a freeze (freezeCount), for pictures a
// tick apart: three times that, or 150 ms more, whichever is longer.
const FreezeGap = max(3*ReelTick, ReelTick+150*time.Millisecond)
