package rig

import (
	"testing"
	"time"
)

// Eventually asks until the answer is yes, and fails the test when that takes longer than limit. What said tells the
// reader what was waited for; ask returns what it saw instead.
func Eventually(t testing.TB, limit time.Duration, what string, ask func() (ok bool, saw any)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, saw := ask()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s; saw %+v", limit, what, saw)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Pause is a time that a test gives to what it watches.
func Pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
