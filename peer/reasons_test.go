package peer

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestReasonsAreAClosedList: each has a sentence and a row in docs/viewers.md, and what is behind it stays here.
func TestReasonsAreAClosedList(t *testing.T) {
	text, err := os.ReadFile("../docs/viewers.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := range sentences {
		if !strings.Contains(string(text), "\n| `"+string(r)+"` |") {
			t.Errorf("docs/viewers.md has no row for %s", r)
		}
	}
	if n := strings.Count(string(text), "\n| `"); n != len(sentences) {
		t.Errorf("docs/viewers.md has %d codes, want %d", n, len(sentences))
	}
	secret := errors.New("rtsp://admin:sesame@192.0.2.7/live: connection refused")
	for _, err := range []error{secret, refusal{ReasonSourceOffline, secret}, &RefusedError{secret}} {
		if told := reasonOf(err).Text(); strings.Contains(told, "sesame") || strings.Contains(told, "192.0.2.7") {
			t.Errorf("a viewer is told %q", told)
		}
	}
	if got := Reason("made up: 192.0.2.7").Text(); got != ReasonInternal.Text() {
		t.Errorf("a reason that is not on the list is told as %q", got)
	}
}
