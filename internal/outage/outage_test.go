package outage

import (
	"fmt"
	"testing"
	"time"
)

func TestADayOfFailuresIsAPage(t *testing.T) {
	var s Series
	now, lines := time.Now(), 0
	for range 43200 {
		reason := fmt.Sprintf("dial tcp 192.0.2.1:554: from :%d: no answer in 1.%ds", 40000+now.Second(), now.Second())
		if s.Failed(now, reason) {
			lines++
		}
		now = now.Add(2 * time.Second)
	}
	if lines != 24 {
		t.Errorf("%d lines in a day, want 24", lines)
	}
	if s.Tries() != 43200 || s.Lasted(now) != 24*time.Hour {
		t.Errorf("%d tries in %v", s.Tries(), s.Lasted(now))
	}
	if !s.Recovered(now) {
		t.Error("its end is not told")
	}
}

func TestAnotherReasonIsTold(t *testing.T) {
	var s Series
	now := time.Now()
	for i, tt := range []struct {
		reason string
		told   bool
	}{
		{"connection refused", true}, {"connection refused", false}, {"wrong password", true},
		{"wrong password", false}, {"connection refused", false},
	} {
		if s.Failed(now.Add(time.Duration(i)*time.Second), tt.reason) != tt.told {
			t.Errorf("%d: %s: told is not %v", i, tt.reason, tt.told)
		}
	}
	for i := range 100 {
		s.Failed(now, fmt.Sprint("made up by a remote ", string(rune('a'+i))))
	}
	if len(s.said) > reasons {
		t.Errorf("%d reasons are kept", len(s.said))
	}
}

// TestFlapping: what goes and comes all day long is told a few times an hour, and its end in any case.
func TestFlapping(t *testing.T) {
	var s Series
	now, lines := time.Now(), 0
	for end := now.Add(24 * time.Hour); now.Before(end); now = now.Add(5 * time.Second) {
		if s.Failed(now, "connection reset") {
			lines++
		}
		now = now.Add(5 * time.Second)
		if s.Recovered(now) {
			lines++
		}
		if s.Settled(now.Add(4 * time.Second)) {
			t.Fatal("four seconds are enough to have settled")
		}
	}
	if lines < 48 || lines > 24*2*(relapse+2) {
		t.Errorf("%d lines in a day", lines)
	}
	if s.untold && !s.Settled(now.Add(2*time.Minute)) {
		t.Error("its end is not told")
	}
	if s.Settled(now.Add(3 * time.Minute)) {
		t.Error("its end is told twice")
	}
	if now = now.Add(time.Hour); !s.Failed(now, "connection reset") {
		t.Error("a failure after an hour of rest is not told")
	}
}
