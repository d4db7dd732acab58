package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Lines that one place in the code may log per minute. Viewers can cause log lines at will.
const (
	linesPerMinute    = 60
	warningsPerMinute = 10
)

// logLimit is a slog.Handler that limits how many lines each place in the code logs per minute. The next line after a
// gap says how many were left out.
type logLimit struct {
	slog.Handler
	counts *lineCounts
}

// lineCounts is shared by a logLimit and the handlers derived from it.
type lineCounts struct {
	mu     sync.Mutex // guards places
	places map[uintptr]*lineCount
}

type lineCount struct {
	since      time.Time
	n, leftOut int
}

func newLogLimit(h slog.Handler) slog.Handler {
	return &logLimit{h, &lineCounts{places: map[uintptr]*lineCount{}}}
}

// Handle implements slog.Handler.
func (l *logLimit) Handle(ctx context.Context, r slog.Record) error {
	limit := linesPerMinute
	if r.Level >= slog.LevelWarn {
		limit = warningsPerMinute
	}
	leftOut, ok := l.counts.count(r.PC, r.Time, limit)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return l.Handler.Handle(ctx, r)
}

// count counts a line. It returns how many lines were left out before this one, and whether this one may be logged.
func (l *lineCounts) count(place uintptr, now time.Time, limit int) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.places[place]
	if c == nil {
		c = &lineCount{since: now}
		l.places[place] = c
	}
	if now.Sub(c.since) >= time.Minute {
		c.since, c.n, leftOut = now, 0, c.leftOut
		c.leftOut = 0
	}
	if c.n++; c.n > limit {
		c.leftOut++
		return 0, false
	}
	return leftOut, true
}

// WithAttrs implements slog.Handler.
func (l *logLimit) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logLimit{l.Handler.WithAttrs(attrs), l.counts}
}

// WithGroup implements slog.Handler.
func (l *logLimit) WithGroup(name string) slog.Handler {
	return &logLimit{l.Handler.WithGroup(name), l.counts}
}
