package agent

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogLimitCountsEachPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		log := slog.New(newLogLimit(slog.NewTextHandler(&b, nil))).With("channel", "gate")
		for i := range 1001 {
			if i == 1000 {
				if n := strings.Count(b.String(), "candidate ignored"); n != warningsPerMinute {
					t.Errorf("%d lines, want %d", n, warningsPerMinute)
				}
				log.Warn("something else")
				if !strings.Contains(b.String(), "something else") {
					t.Error("another place was silenced, too")
				}
				b.Reset()
				time.Sleep(time.Minute)
			}
			log.Warn("candidate ignored")
		}
		if want := fmt.Sprintf("left_out=%d", 1000-warningsPerMinute); !strings.Contains(b.String(), want) {
			t.Errorf("a minute later: %q, want %s", b.String(), want)
		}
	})
}
