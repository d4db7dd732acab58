package rig

import (
	"testing"
	"time"
)

// Bars are the seven upper colours of SMPTE bars at three quarters, from left to right: the picture of a camera.
var Bars = [7][3]int{{191, 191, 191}, {191, 191, 0}, {0, 191, 191}, {0, 191, 0}, {191, 0, 191}, {191, 0, 0},
	{0, 0, 191}}

// ShowsBars fails the test unless the video has the camera's colours in the right places. Counters do not tell garbage
// from a picture.
func (p *Page) ShowsBars(t testing.TB, selector string) {
	t.Helper()
	points := make([][2]float64, len(Bars))
	for i := range points {
		points[i] = [2]float64{(float64(i) + 0.5) / float64(len(Bars)), 0.3}
	}
	Eventually(t, 5*time.Second, "colour bars in "+selector, func() (bool, any) {
		var got [][3]int
		p.Call(&got, "colours", selector, points)
		return len(got) == len(Bars) && ShowBars(got), got
	})
}

// ShowBars reports whether these colours, from left to right, are those of the bars.
func ShowBars(got [][3]int) bool {
	const tolerance = 30
	for i, want := range Bars {
		for c := range want {
			if d := got[i][c] - want[c]; d < -tolerance || d > tolerance {
				return false
			}
		}
	}
	return true
}

// ShowsSlate waits until the video is the dark picture that says why there is no other.
func (p *Page) ShowsSlate(t testing.TB, selector string) {
	t.Helper()
	points := [][2]float64{{0.05, 0.1}, {0.5, 0.1}, {0.95, 0.1}, {0.05, 0.9}, {0.95, 0.9}}
	Eventually(t, 15*time.Second, "a slate in "+selector, func() (bool, any) {
		var got [][3]int
		p.Call(&got, "colours", selector, points)
		for _, c := range got {
			if max(c[0], c[1], c[2]) > 60 {
				return false, got
			}
		}
		return len(got) == len(points), got
	})
}
