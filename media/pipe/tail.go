package pipe

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// How much of a command's stderr is logged.
const (
	maxLine    = 300              // bytes of a line
	maxLines   = 10               // in each period
	linePeriod = 10 * time.Second // after that it only counts
	tailBuffer = 32 << 10         // read at a time
)

// tail reads the stderr of a command to its end.
type tail struct {
	r     io.ReadCloser
	log   *slog.Logger
	ended atomic.Bool // it was asked to end: what it says now is about that

	last    string // last meaningful line; owned by run
	raw     []byte // the newest line of a flood
	lines   int    // in this period
	skipped int
	until   time.Time
}

func (t *tail) run() {
	defer t.r.Close()
	r := bufio.NewReaderSize(t.r, tailBuffer)
	for {
		line, long, err := r.ReadLine()
		if err != nil {
			break
		}
		t.take(line)
		for long && err == nil {
			_, long, err = r.ReadLine()
		}
	}
	if s := clean(string(t.raw)); s != "" && !t.ended.Load() {
		t.last = s
	}
	if t.skipped > 0 {
		t.log.Info("command said more", "lines", t.skipped)
	}
}

// take logs a line. One of a flood is counted and costs no more than that; the newest of it is kept as it came.
func (t *tail) take(line []byte) {
	if t.lines > maxLines && time.Now().Before(t.until) {
		t.lines++
		t.skipped++
		t.raw = append(t.raw[:0], line[:min(len(line), maxLine)]...)
		return
	}
	t.raw = t.raw[:0]
	t.line(clean(string(line[:min(len(line), maxLine)])))
}

func (t *tail) line(s string) {
	if s == "" {
		return
	}
	if !t.ended.Load() || t.last == "" {
		t.last = s
	}
	now := time.Now()
	if now.After(t.until) {
		if t.skipped > 0 {
			t.log.Info("command said more", "lines", t.skipped)
		}
		t.lines, t.skipped, t.until = 0, 0, now.Add(linePeriod)
	}
	if t.lines++; t.lines > maxLines {
		t.skipped++
		return
	}
	level := slog.LevelInfo
	if t.ended.Load() {
		level = slog.LevelDebug
	}
	t.log.Log(context.Background(), level, "command says", "line", s)
}

// clean makes a line fit for a log. Of a line that was overwritten repeatedly (a progress bar) it keeps the last state;
// it removes the login from URLs.
func clean(s string) string {
	s = strings.TrimRight(s, "\r ")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, s)
	return hideLogin(strings.TrimSpace(s))
}

// hideLogin removes user and password from the URLs in a line.
func hideLogin(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "://")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("://")
		end := strings.IndexAny(after, " /'\"")
		if end < 0 {
			end = len(after)
		}
		if at := strings.LastIndexByte(after[:end], '@'); at >= 0 {
			after = "..." + after[at:]
		}
		s = after
	}
}
