package impair

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestClock: when packets of 972 bytes, 8000 bits with their headers, come out that came in at the given times.
func TestClock(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name string
		link Link
		in   []time.Duration
		want []time.Duration // -1 is never
	}{
		{"a perfect link", Link{}, []time.Duration{0, 0, 5 * ms}, []time.Duration{0, 0, 5 * ms}},
		{"delay", Link{Delay: 30 * ms}, []time.Duration{0, 5 * ms}, []time.Duration{30 * ms, 35 * ms}},
		{"rate: each waits for those before it", Link{Rate: 1e6}, []time.Duration{0, 0, 0, 50 * ms},
			[]time.Duration{8 * ms, 16 * ms, 24 * ms, 58 * ms}},
		{"rate and delay", Link{Rate: 1e6, Delay: 10 * ms}, []time.Duration{0, 0}, []time.Duration{18 * ms, 26 * ms}},
		{"a queue that is full drops its tail", Link{Rate: 1e6, Queue: 16 * ms}, []time.Duration{0, 0, 0, 0, 9 * ms},
			[]time.Duration{8 * ms, 16 * ms, 24 * ms, -1, 32 * ms}},
		{"everything is lost", Link{Loss: 1}, []time.Duration{0, ms}, []time.Duration{-1, -1}},
		{"everything is late", Link{Reorder: 1}, []time.Duration{0, ms}, []time.Duration{10 * ms, 11 * ms}},
		{"late by so much", Link{Reorder: 1, Late: 3 * ms, Delay: ms}, []time.Duration{0}, []time.Duration{4 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock(1)
			c.link = tt.link
			for i, in := range tt.in {
				out, ok := c.admit(epoch.Add(in), 972)
				if got := out.Sub(epoch); ok != (tt.want[i] >= 0) || ok && got != tt.want[i] {
					t.Errorf("packet %d, in at %v, comes out at %v (%v), want %v", i, in, got, ok, tt.want[i])
				}
			}
		})
	}
}

// TestRateChanges: what is in the queue comes out as it would have, what comes later at the new rate, behind it.
func TestRateChanges(t *testing.T) {
	c := newClock(1)
	c.link = Link{Rate: 8e6}
	c.admit(epoch, 972)
	c.link = Link{Rate: 1e6}
	if out, ok := c.admit(epoch, 972); !ok || out.Sub(epoch) != 9*time.Millisecond {
		t.Errorf("the second comes out after %v (%v), want 1 ms and 8 ms", out.Sub(epoch), ok)
	}
	c.link = Link{}
	if out, ok := c.admit(epoch, 972); !ok || out.Sub(epoch) != 9*time.Millisecond {
		t.Errorf("the third comes out after %v (%v), want with the second: none overtakes", out.Sub(epoch), ok)
	}
}

// TestShares: over many packets, shares are what they are said to be; jitter keeps the order and stays in its bounds;
// the seed decides.
func TestShares(t *testing.T) {
	link := Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.02, Reorder: 0.01}
	pass := func(seed uint64) (outs []time.Duration, counts Counts) {
		c := newClock(seed)
		c.link = link
		for i := range 20000 {
			in := epoch.Add(time.Duration(i) * time.Millisecond)
			if out, ok := c.admit(in, 1000); ok {
				outs = append(outs, out.Sub(in))
			} else {
				outs = append(outs, -1)
			}
		}
		return outs, c.counts
	}
	outs, counts := pass(7)
	if counts.Packets != 20000 || counts.Bytes != 20e6 || counts.Dropped != 0 || counts.Lost < 300 ||
		counts.Lost > 500 || counts.Late < 130 || counts.Late > 270 {
		t.Errorf("counts = %+v, want 2 %% lost and 1 %% late", counts)
	}
	late := uint64(0)
	for i, out := range outs {
		if out >= 0 && (out < 20*time.Millisecond || out > 40*time.Millisecond) {
			t.Fatalf("packet %d took %v, want 20 ms to 40 ms", i, out)
		}
		if out > 30*time.Millisecond {
			late++
		}
	}
	if late == 0 || late > counts.Late {
		t.Errorf("%d packets took longer than delay and jitter, want some of the %d late ones", late, counts.Late)
	}
	if again, _ := pass(7); !equal(outs, again) {
		t.Error("the same seed gives another fate")
	}
	if other, _ := pass(8); equal(outs, other) {
		t.Error("another seed gives the same fate")
	}
}

func equal(a, b []time.Duration) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
