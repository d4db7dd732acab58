package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/sys/unix"
)

// TestDurationsAreSeconds: in groups, too.
func TestDurationsAreSeconds(t *testing.T) {
	for format, want := range map[string]string{
		"text": "retry_s=1.5 stages.ice_s=0.00025\n", "json": `"retry_s":1.5,"stages":{"ice_s":0.00025}}` + "\n",
	} {
		var b strings.Builder
		l, _ := newLog(&b, config.Log{Level: "info", Format: format}, false)
		l.Info("x", "retry", 1500*time.Millisecond, slog.Group("stages", "ice", 250*time.Microsecond))
		if !strings.HasSuffix(b.String(), want) {
			t.Errorf("%s: %q, want %q at its end", format, b.String(), want)
		}
	}
}

// TestJournalPriorities: the journal knows how bad a line is, in both formats, and that lines were lost.
func TestJournalPriorities(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		l, _ := newLog(&b, config.Log{Level: "debug", Format: format}, true)
		l = l.With("channel", "gate")
		l.Debug("one")
		l.Info("two")
		l.Warn("three")
		l.Error("four")
		b.Write(lostNote(b.Bytes()[bytes.LastIndex(b.Bytes(), []byte("<3>")):], 7, time.Now()))
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		for i, want := range []string{"<7>", "<6>", "<4>", "<3>", "<4>"} {
			text, ok := strings.CutPrefix(lines[i], want)
			if !ok || format == "json" && !json.Valid([]byte(text)) {
				t.Errorf("%s: %q, want %s and a line", format, lines[i], want)
			}
		}
		if !strings.Contains(lines[4], "lines") || !strings.Contains(lines[4], "7") {
			t.Errorf("%s: %q does not say that 7 lines were lost", format, lines[4])
		}
	}
}

// TestOnlyTheJournalGetsPriorities: JOURNAL_STREAM is inherited by who writes to a file.
func TestOnlyTheJournalGetsPriorities(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		"": false, "1:2": false,
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
	} {
		t.Setenv("JOURNAL_STREAM", stream)
		if got := isJournal(f); got != want {
			t.Errorf("JOURNAL_STREAM=%s: %v", stream, got)
		}
	}
	if isJournal(&bytes.Buffer{}) {
		t.Error("a buffer is no journal")
	}
}

// TestJSONToTheLastLine: an agent that cannot start says so in JSON, and what libraries print is a line of the log.
func TestJSONToTheLastLine(t *testing.T) {
	before := slog.Default()
	defer func() { slog.SetDefault(before); log.SetOutput(os.Stderr); log.SetFlags(log.LstdFlags) }()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "kvsagent.yaml")
	text := fmt.Sprintf(`
aws: {region: eu-central-1}
sources: {pattern: {url: "testpattern:"}}
channels: {gate: {source: pattern}}
log: {format: json}
status: {listen: %q}
`, taken.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	c := command()
	c.SetErr(&b)
	c.SetArgs([]string{"run", "-c", path})
	failed := c.ExecuteContext(t.Context())
	if !isA[loggedError](failed) || !errors.Is(failed, unix.EADDRINUSE) || exitCode(failed) != exitError {
		t.Fatalf("%v, want that the address is in use, and that the log has told it", failed)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "agent failed") {
		t.Errorf("the last line is %s", last)
	}
	b.Reset()
	l, _ := newLog(&b, config.Log{Level: "info", Format: "json"}, false)
	slog.SetDefault(l)
	log.Print("a library's own line")
	if !json.Valid(b.Bytes()) || !strings.Contains(b.String(), "own line") {
		t.Errorf("the standard logger writes %q", b.String())
	}
}

// TestAStuckLogIsNamed: systemctl status says that nobody reads the log, and only then.
func TestAStuckLogIsNamed(t *testing.T) {
	for waits, want := range map[time.Duration]bool{0: false, time.Second: false, time.Minute: true} {
		m := &manager{report: func() status.Report { return status.Report{} },
			unread: func(time.Time) time.Duration { return waits }}
		if got := m.status(); strings.Contains(got, "log, which nobody reads, for 60 s") != want {
			t.Errorf("after %v: %s", waits, got)
		}
	}
}
