package e2e

import (
	"testing"
	"time"
)

// bars are the seven upper colours of SMPTE bars at three quarters, from left to right: the picture of a camera.
var bars = [7][3]int{{191, 191, 191}, {191, 191, 0}, {0, 191, 191}, {0, 191, 0}, {191, 0, 191}, {191, 0, 0}, {0, 0, 191}}

// showsBars fails the test unless the video has the camera's colours in the right places. Counters do not tell garbage from a picture.
func (p *page) showsBars(t *testing.T, selector string) {
	t.Helper()
	points := make([][2]float64, len(bars))
	for i := range points {
		points[i] = [2]float64{(float64(i) + 0.5) / float64(len(bars)), 0.3}
	}
	eventually(t, 5*time.Second, "colour bars in "+selector, func() (bool, any) {
		var got [][3]int
		p.call(&got, "colours", selector, points)
		return len(got) == len(bars) && near(got), got
	})
}

func near(got [][3]int) bool {
	const tolerance = 30
	for i, want := range bars {
		for c := range want {
			if d := got[i][c] - want[c]; d < -tolerance || d > tolerance {
				return false
			}
		}
	}
	return true
}
