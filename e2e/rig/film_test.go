package rig

import (
	"testing"
	"time"
)

func TestFilm(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := &LiveCamera{Begin: begin}
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		n    int
		at   time.Time
		want time.Duration
	}{
		{0, at(30), 30 * time.Millisecond},
		{25, at(1030), 30 * time.Millisecond},
		{25, at(990), -10 * time.Millisecond},
		{25, at(1030).Add(3 * ReelLength), 30 * time.Millisecond},
		{ReelFrames - 1, at(0).Add(ReelLength), ReelTick},
		{ReelFrames - 1, at(100).Add(ReelLength), ReelTick + 100*time.Millisecond},
	} {
		if got := l.age(tt.n, tt.at); got != tt.want {
			t.Errorf("picture %d at %v is %v old, want %v", tt.n, tt.at.Sub(begin), got, tt.want)
		}
	}

	var f Film // 2 s of 25 a second, 2 s of 5 a second, 2 s of 25 a second
	for ms := 0; ms < 6000; ms += 40 {
		if ms >= 2000 && ms < 4000 && ms%200 != 0 {
			continue
		}
		f = append(f, Shown{At: at(ms), n: ms / 40, Right: true})
	}
	f[2].n, f[3].n, f[5].Right = unread, -1, false
	if got := f.Garbled(); len(got) != 2 || got[0].At != f[3].At {
		t.Errorf("garbled: %+v, want the fourth and the sixth", got)
	}
	if got := f.Readable(); len(got) != len(f)-2 || got[2].At != f[4].At {
		t.Errorf("%d of %d pictures are readable, want all but two", len(got), len(f))
	}
	if count, longest := f.Freezes(); count != 10 || longest != 200*time.Millisecond {
		t.Errorf("%d freezes, the longest %v; want 10 of 200 ms", count, longest)
	}
	if fewest, longest := f.Slow(at(0), at(6000), 10); fewest != 5 || longest < 2200*time.Millisecond ||
		longest > 2600*time.Millisecond {
		t.Errorf("%d pictures in the worst second, slow for %v; want 5, and 2 s with the half seconds around them",
			fewest, longest)
	}
	if fewest, longest := f.Slow(at(4000), at(6000), 10); fewest != 25 || longest != 0 {
		t.Errorf("%d pictures in the worst second at the end, slow for %v; want 25 and never", fewest, longest)
	}
	if s, ok := f.On(at(59)); !ok || s.n != 1 {
		t.Errorf("on the screen at 59 ms: %+v (%v), want picture 1", s, ok)
	}
	if s, ok := f.On(at(-1)); ok {
		t.Errorf("on the screen before the first: %+v", s)
	}
	if got := (Figures{3, 1, 2, 10}); got.Median() != 2.5 || got.String() != "2 (1-10)" {
		t.Errorf("median %v, %v", got.Median(), got)
	}
}
