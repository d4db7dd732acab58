package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// shown is a picture that a browser has presented.
type shown struct {
	at    time.Time
	n     int           // its number, modulo clipFrames; -1 when a bit was not clear, unread when there were none
	width int           // pixels
	right bool          // its bars have their colours
	age   time.Duration // since the camera has made it
}

// unread is the number of a picture that was presented and could not be looked at.
const unread = -2

// film is what a page has presented, in order.
type film []shown

// MarshalJSON writes rows of seconds since the first picture, its number, its width, and its age in milliseconds.
func (f film) MarshalJSON() ([]byte, error) {
	rows := make([][4]float64, len(f))
	for i, s := range f {
		rows[i] = [4]float64{s.at.Sub(f[0].at).Seconds(), float64(s.n), float64(s.width), ms(s.age)}
	}
	return json.Marshal(rows)
}

// presented reads from the page what it has shown since the first from pictures of live.
func (p *page) presented(l *live, from int) film {
	p.t.Helper()
	var rows [][4]float64
	p.call(&rows, "presented", from)
	f := make(film, len(rows))
	for i, r := range rows {
		f[i] = shown{at: wall(r[0]), n: int(r[1]), width: int(r[2]), right: r[3] == 1}
		if f[i].n >= 0 {
			f[i].age = l.age(f[i].n, f[i].at)
		}
	}
	return f
}

// wall is a browser's time, in milliseconds since 1970.
func wall(ms float64) time.Time { return time.UnixMicro(int64(ms * 1000)) }

// offered is when the page has sent its offer.
func (p *page) offered() time.Time {
	p.t.Helper()
	var ms float64
	p.call(&ms, "offered")
	return wall(ms)
}

// age is how long before at the camera has made picture n last. Clocks of browsers are a little coarse, so that a picture may seem to come
// from the future.
func (l *live) age(n int, at time.Time) time.Duration {
	const future = time.Second
	since := at.Sub(l.begin) - time.Duration(n)*clipTick + future
	return (since%clipLasts+clipLasts)%clipLasts - future
}

// garbled are the pictures that are not what the camera has made.
func (f film) garbled() (bad film) {
	for _, s := range f {
		if s.n != unread && (s.n < 0 || !s.right) {
			bad = append(bad, s)
		}
	}
	return bad
}

// readable is without the pictures that could not be looked at.
func (f film) readable() film {
	return slices.DeleteFunc(slices.Clone(f), func(s shown) bool { return s.n < 0 })
}

// frozen is a gap that W3C's "Identifiers for WebRTC's Statistics API" calls a freeze (freezeCount), for pictures a tick apart: three times
// that, or 150 ms more, whichever is longer.
const frozen = max(3*clipTick, clipTick+150*time.Millisecond)

// freezes counts gaps that people see, and gives the longest gap of all.
func (f film) freezes() (count int, longest time.Duration) {
	for i := 1; i < len(f); i++ {
		gap := f[i].at.Sub(f[i-1].at)
		longest = max(longest, gap)
		if gap > frozen {
			count++
		}
	}
	return count, longest
}

// on is the picture on the screen at some time; ok is false before the first.
func (f film) on(at time.Time) (s shown, ok bool) {
	i, found := slices.BinarySearchFunc(f, at, func(s shown, at time.Time) int { return s.at.Compare(at) })
	if found {
		i++
	}
	if i == 0 {
		return s, false
	}
	return f[i-1], true
}

// between is what was presented from from on, before to.
func (f film) between(from, to time.Time) film {
	start, _ := slices.BinarySearchFunc(f, from, func(s shown, at time.Time) int { return s.at.Compare(at) })
	end, _ := slices.BinarySearchFunc(f, to, func(s shown, at time.Time) int { return s.at.Compare(at) })
	return f[start:max(start, end)]
}

// slow looks at each second between from and to, a tick after the other, and gives the fewest pictures in one, and how long the longest
// stretch is that has less than fps pictures in each of its seconds; 0 when there is no such second.
func (f film) slow(from, to time.Time, fps int) (fewest int, longest time.Duration) {
	fewest = 1 << 30
	var since time.Time
	for at := from; !at.Add(time.Second).After(to); at = at.Add(clipTick) {
		n := len(f.between(at, at.Add(time.Second)))
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

// live is the first picture, from from on, that is less than limit old; ok is false when there is none.
func (f film) live(from time.Time, limit time.Duration) (s shown, ok bool) {
	for _, s := range f {
		if !s.at.Before(from) && s.n >= 0 && s.age < limit {
			return s, true
		}
	}
	return s, false
}

// figures is what some runs have measured, one figure from each.
type figures []float64

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median is 0 without figures.
func (f figures) median() float64 {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return (sorted[(len(f)-1)/2] + sorted[len(f)/2]) / 2
}

// String is the median, and the least and the most.
func (f figures) String() string {
	if len(f) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f (%.0f-%.0f)", f.median(), slices.Min(f), slices.Max(f))
}

func TestFilm(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := &live{begin: begin}
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		n    int
		at   time.Time
		want time.Duration
	}{
		{0, at(30), 30 * time.Millisecond},
		{25, at(1030), 30 * time.Millisecond},
		{25, at(990), -10 * time.Millisecond},
		{25, at(1030).Add(3 * clipLasts), 30 * time.Millisecond},
		{clipFrames - 1, at(0).Add(clipLasts), clipTick},
		{clipFrames - 1, at(100).Add(clipLasts), clipTick + 100*time.Millisecond},
	} {
		if got := l.age(tt.n, tt.at); got != tt.want {
			t.Errorf("picture %d at %v is %v old, want %v", tt.n, tt.at.Sub(begin), got, tt.want)
		}
	}

	var f film // 2 s of 25 a second, 2 s of 5 a second, 2 s of 25 a second
	for ms := 0; ms < 6000; ms += 40 {
		if ms >= 2000 && ms < 4000 && ms%200 != 0 {
			continue
		}
		f = append(f, shown{at: at(ms), n: ms / 40, right: true})
	}
	f[2].n, f[3].n, f[5].right = unread, -1, false
	if got := f.garbled(); len(got) != 2 || got[0].at != f[3].at {
		t.Errorf("garbled: %+v, want the fourth and the sixth", got)
	}
	if got := f.readable(); len(got) != len(f)-2 || got[2].at != f[4].at {
		t.Errorf("%d of %d pictures are readable, want all but two", len(got), len(f))
	}
	if count, longest := f.freezes(); count != 10 || longest != 200*time.Millisecond {
		t.Errorf("%d freezes, the longest %v; want 10 of 200 ms", count, longest)
	}
	if fewest, longest := f.slow(at(0), at(6000), 10); fewest != 5 || longest < 2200*time.Millisecond || longest > 2600*time.Millisecond {
		t.Errorf("%d pictures in the worst second, slow for %v; want 5, and 2 s with the half seconds around them", fewest, longest)
	}
	if fewest, longest := f.slow(at(4000), at(6000), 10); fewest != 25 || longest != 0 {
		t.Errorf("%d pictures in the worst second at the end, slow for %v; want 25 and never", fewest, longest)
	}
	if s, ok := f.on(at(59)); !ok || s.n != 1 {
		t.Errorf("on the screen at 59 ms: %+v (%v), want picture 1", s, ok)
	}
	if s, ok := f.on(at(-1)); ok {
		t.Errorf("on the screen before the first: %+v", s)
	}
	if got := (figures{3, 1, 2, 10}); got.median() != 2.5 || got.String() != "2 (1-10)" {
		t.Errorf("median %v, %v", got.median(), got)
	}
}
