package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// second is when, counted from the beginning.
func (s *squeezed) second(at time.Time) float64 { return at.Sub(s.Begin).Seconds() }

// reached is how long after from the first picture of the width was shown from which on all were, for a second; ok is
// false when there is none.
func (s *squeezed) reached(from time.Time, width int) (after time.Duration, ok bool) {
	var since time.Time
	for _, x := range s.Film.Between(from, s.Begin.Add(squeezeAll)) {
		switch {
		case x.Width != width:
			since = time.Time{}
		case since.IsZero():
			since = x.At
		}
		if !since.IsZero() && x.At.Sub(since) >= time.Second {
			return since.Sub(from), true
		}
	}
	return 0, false
}

// verdict is what of a run the goals speak of.
type verdict struct {
	fewest int // pictures in the worst second
	// The longest stretch of seconds with less than ten pictures, from the first one's beginning to the last one's end.
	slow     time.Duration
	down, up time.Duration // until sub was on the screen, and main again; -1 is never
	freezes  int
	longest  time.Duration // between two pictures
	oldest   time.Duration // picture
	last     time.Duration // how old the last one was
	before   time.Duration // how old the oldest was before the link became narrow
	garbled  int

	lost, nacks, plis, undecoded int // by the browser's count: packets, and pictures that came whole
}

func (v verdict) String() string {
	return fmt.Sprintf("%d pictures in the worst second, below 10 a second for %v, sub after %v, main after %v, %d "+
		"freezes, longest gap %v, oldest picture %v, last %v, "+
		"%d garbled, %d packets lost, %d NACKs, %d PLIs, %d not decoded",
		v.fewest, v.slow, v.down, v.up, v.freezes, v.longest, v.oldest, v.last,
		v.garbled, v.lost, v.nacks, v.plis, v.undecoded)
}

func (s *squeezed) verdict(sub, main int) (v verdict) {
	narrow, wide := s.Begin.Add(squeezeBefore), s.Begin.Add(squeezeBefore+squeezeFor)
	v.fewest, v.slow = s.Film.Slow(s.Begin.Add(time.Second), s.Begin.Add(squeezeAll), 10)
	v.down, v.up = -1, -1
	if d, ok := s.reached(narrow, sub); ok {
		v.down = d
	}
	if d, ok := s.reached(wide, main); ok {
		v.up = d
	}
	running := s.Film.Between(s.Begin.Add(time.Second), s.Begin.Add(squeezeAll))
	v.freezes, v.longest = running.Freezes()
	for _, x := range running.Readable() {
		v.oldest, v.last = max(v.oldest, x.Age), x.Age
		if x.At.Before(narrow) {
			v.before = max(v.before, x.Age)
		}
	}
	v.garbled = len(s.Film.Garbled())
	video := s.Stats.Video
	v.lost, v.nacks, v.plis = video.Lost, video.NACKs, video.PLIs
	v.undecoded = video.Received - video.Frames - video.Dropped
	return v
}

// charts draws the run, as one column.
func (s *squeezed) charts(sub int) []rig.Chart {
	var link, passed, estimate, age, fps rig.Graph
	link = rig.Graph{Name: "link", Colour: "#999", Steps: true}
	passed = rig.Graph{Name: "passed on", Colour: "#0b6e4f"}
	estimate = rig.Graph{Name: "agent's estimate", Colour: "#b3541e"}
	age = rig.Graph{Name: "age of the picture shown", Colour: "#0b6e4f"}
	fps = rig.Graph{Name: "presented", Colour: "#0b6e4f"}
	for i, m := range s.Moments {
		link.Points = append(link.Points, [2]float64{m.Second, m.Link / 1000})
		if m.Estimate > 0 {
			estimate.Points = append(estimate.Points, [2]float64{m.Second, m.Estimate / 1000})
		}
		sum, n := 0.0, 0
		for _, near := range s.Moments[max(0, i-2):min(len(s.Moments), i+3)] { // over a second: a key frame is a peak
			sum, n = sum+near.Passed, n+1
		}
		passed.Points = append(passed.Points, [2]float64{m.Second, sum / float64(n) / 1000})
	}
	var shaded [][2]float64
	for i, x := range s.Film {
		at := s.second(x.At)
		if at < 0 || at > squeezeAll.Seconds() {
			continue
		}
		age.Points = append(age.Points, [2]float64{at, rig.Millis(x.Age)})
		end := squeezeAll.Seconds()
		if i+1 < len(s.Film) {
			end = min(end, s.second(s.Film[i+1].At))
			age.Points = append(age.Points, [2]float64{end, rig.Millis(x.Age) + 1000*(end-at)})
		}
		switch n := len(shaded); {
		case x.Width != sub:
		case n > 0 && shaded[n-1][1] >= at-0.001:
			shaded[n-1][1] = end
		default:
			shaded = append(shaded, [2]float64{at, end})
		}
	}
	for at := 0.5; at < squeezeAll.Seconds()-0.5; at += 0.25 {
		from := s.Begin.Add(time.Duration((at - 0.5) * float64(time.Second)))
		fps.Points = append(fps.Points, [2]float64{at, float64(len(s.Film.Between(from, from.Add(time.Second))))})
	}
	oldest := 0.0
	for _, p := range age.Points {
		oldest = max(oldest, p[1])
	}
	return []rig.Chart{
		{Title: "Mbit/s", Top: 10, Lines: []rig.Graph{link, passed, estimate}, Shaded: shaded},
		{Title: "behind live, ms", Top: rig.RoundTop(min(oldest, 4000)), Lines: []rig.Graph{age}, Shaded: shaded},
		{Title: "pictures a second", Top: 40, Lines: []rig.Graph{fps}, Shaded: shaded},
	}
}

// TestVerdict: a film that goes down after 2 s, flickers, and comes up again after 5 s.
func TestVerdict(t *testing.T) {
	s := &squeezed{Begin: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	narrow, wide := squeezeBefore+2*time.Second, squeezeBefore+squeezeFor+5*time.Second
	for at := time.Duration(0); at < squeezeAll; at += rig.ReelTick {
		width := mainClip.Width
		if at >= narrow && at < wide || at >= wide+rig.ReelTick && at < wide+2*rig.ReelTick {
			width = subClip.Width
		}
		s.Film = append(s.Film, rig.Shown{At: s.Begin.Add(at), Width: width, Right: true, Age: 50 * time.Millisecond})
	}
	want := verdict{fewest: rig.ReelFPS, down: 2 * time.Second, up: 5*time.Second + 2*rig.ReelTick,
		longest: rig.ReelTick, oldest: 50 * time.Millisecond, last: 50 * time.Millisecond,
		before: 50 * time.Millisecond}
	if got := s.verdict(subClip.Width, mainClip.Width); got != want {
		t.Errorf("verdict:\n%v, want\n%v", got, want)
	}
	s.Film = s.Film.Between(s.Begin, s.Begin.Add(narrow))
	if got := s.verdict(subClip.Width, mainClip.Width); got.down >= 0 || got.up >= 0 || got.fewest != 0 ||
		got.slow < 30*time.Second {
		t.Errorf("verdict of a film that ends: %v, want no sub, no main again, and nothing for half a minute", got)
	}
}
