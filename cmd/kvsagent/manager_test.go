package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

// TestManagerNamesWhoIsStuck: systemd is told who is stuck, and that we are alive only when a restart would mend
// nothing.
func TestManagerNamesWhoIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stuck []status.Stuck
		release := make(chan struct{})
		hangs := ""
		m := &manager{
			log: slog.New(slog.DiscardHandler),
			report: func() status.Report {
				if hangs == "report" {
					<-release
				}
				return status.Report{}
			},
			stuck: func(time.Time) []status.Stuck {
				if hangs == "agent" {
					<-release
				}
				return stuck
			},
		}
		check := func(name string, goesOn bool) {
			t.Helper()
			line, got := m.look()
			named := name == "" || strings.Contains(line, "stuck: "+name)
			if got != goesOn || !strings.HasPrefix(line, "STATUS=") || !named {
				t.Errorf("%q, goes on: %v; want %v and %q", line, got, goesOn, name)
			}
			if n := len(m.now()); (n > 0) != (name != "") {
				t.Errorf("%d loops on the page", n)
			}
		}
		check("", true)
		stuck = []status.Stuck{{Loop: "channel gate", Seconds: 12, Fatal: true}}
		check("channel gate for 12 s", false)
		stuck = []status.Stuck{{Loop: "log", Seconds: 12}}
		check("log", true)
		stuck = nil
		for _, hangs = range []string{"agent", "report"} {
			for range 3 {
				check(hangs, false)
				time.Sleep(lookEvery)
			}
			release <- struct{}{}
			synctest.Wait()
			m.look()
			hangs = ""
			check("", true)
		}
	})
}
