package rig

import (
	"testing"

	"github.com/kvsagent/kvsagent/media/testpattern"
)

// TestClipNumbers: what draws the numbers agrees with what reads them.
func TestClipNumbers(t *testing.T) {
	luma := make([]byte, 640*360)
	for _, n := range []int{0, 1, ReelFrames - 1, 1<<20 - 1} {
		drawNumber(luma, 640, n)
		if got, ok := testpattern.FrameNumber(luma, 640); got != n || !ok {
			t.Errorf("picture %d reads as %d (%v)", n, got, ok)
		}
	}
}
