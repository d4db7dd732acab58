package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/backoff"
)

func TestWaits(t *testing.T) {
	for _, tt := range []struct {
		n            int
		base, limit  time.Duration
		u            float64
		full, around time.Duration
	}{
		{0, time.Second, time.Minute, 0, 0, time.Second / 2},
		{0, time.Second, time.Minute, 0.5, time.Second / 2, time.Second},
		{1, time.Second, time.Minute, 0.5, time.Second, 2 * time.Second},
		{5, time.Second, time.Minute, 0.5, 16 * time.Second, 32 * time.Second},
		{6, time.Second, time.Minute, 0.5, 30 * time.Second, time.Minute},
		{math.MaxInt, time.Second, time.Minute, 0.5, 30 * time.Second, time.Minute},
		{math.MaxInt, time.Second, math.MaxInt64, 0, 0, math.MaxInt64 / 2},
		{3, 2 * time.Minute, time.Minute, 0.5, 30 * time.Second, time.Minute},
		{-1, time.Second, time.Minute, 0.5, time.Second / 2, time.Second},
	} {
		if got := backoff.Full(tt.n, tt.base, tt.limit, tt.u); got != tt.full {
			t.Errorf("Full(%d, %v, %v, %v) = %v, want %v", tt.n, tt.base, tt.limit, tt.u, got, tt.full)
		}
		if got := backoff.Around(tt.n, tt.base, tt.limit, tt.u); (got - tt.around).Abs() > time.Microsecond {
			t.Errorf("Around(%d, %v, %v, %v) = %v, want %v", tt.n, tt.base, tt.limit, tt.u, got, tt.around)
		}
	}
}
