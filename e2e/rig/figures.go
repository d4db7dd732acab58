package rig

import (
	"fmt"
	"slices"
	"time"
)

// Figures is what some runs have measured, one figure from each.
type Figures []float64

// Median is 0 without figures.
func (f Figures) Median() float64 {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return (sorted[(len(f)-1)/2] + sorted[len(f)/2]) / 2
}

// String is the median, and the least and the most.
func (f Figures) String() string {
	if len(f) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f (%.0f-%.0f)", f.Median(), slices.Min(f), slices.Max(f))
}

// Millis is a duration in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
