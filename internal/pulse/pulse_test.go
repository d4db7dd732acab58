package pulse

import (
	"testing"
	"testing/synctest"
	"time"
)

func at(s int) time.Time { return time.Unix(1e9+int64(s), 0) }

// TestPulse: a loop that takes what comes is never stuck; one that does not is, for as long as that lasts.
func TestPulse(t *testing.T) {
	p := New()
	for s := 0; s < 100; s += 5 {
		if d := p.Stuck(at(s)); d != 0 {
			t.Fatalf("stuck for %v, and goes on", d)
		}
		<-p.C
	}
	for s := 100; s <= 120; s += 5 {
		if d := p.Stuck(at(s)); d != time.Duration(s-100)*time.Second {
			t.Errorf("after %d s: stuck for %v", s-100, d)
		}
	}
	<-p.C
	if d := p.Stuck(at(125)); d != 0 {
		t.Errorf("stuck for %v, and has gone on", d)
	}
}

// TestSuspended: a host that was asleep has no stuck loops for that.
func TestSuspended(t *testing.T) {
	p := New()
	var w Work
	w.Begin()
	p.Stuck(at(0))
	w.Stuck(at(0))
	if a, b := p.Stuck(at(60)), w.Stuck(at(60)); a != 0 || b != 0 {
		t.Errorf("stuck for %v and %v after a minute's sleep", a, b)
	}
	if a, b := p.Stuck(at(65)), w.Stuck(at(65)); a != 5*time.Second || b != 5*time.Second {
		t.Errorf("stuck for %v and %v, 5 s after waking", a, b)
	}
}

// TestWork: waiting is no fault, and doing one thing after another is none.
func TestWork(t *testing.T) {
	var w Work
	if w.Stuck(at(0))+w.Stuck(at(20)) != 0 {
		t.Error("waiting is stuck")
	}
	for s := 20; s < 60; s += 5 {
		w.Begin()
		if d := w.Stuck(at(s)); d != 0 {
			t.Errorf("stuck for %v", d)
		}
	}
	if d := w.Stuck(at(65)); d != 10*time.Second {
		t.Errorf("stuck for %v, want 10 s", d)
	}
	w.End()
	if d := w.Stuck(at(70)); d != 0 {
		t.Errorf("stuck for %v, and it is done", d)
	}
}

// TestWait: a loop that waits for a while goes on.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		done := make(chan struct{})
		go func() { p.Wait(t.Context(), time.Minute); close(done) }()
		for range 11 {
			if d := p.Stuck(time.Now()); d != 0 {
				t.Errorf("stuck for %v", d)
			}
			time.Sleep(5 * time.Second)
		}
		<-done
	})
}
