package main

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
)

// logSettings are what a reload may change in a log that is in use.
type logSettings struct {
	level slog.LevelVar
	json  atomic.Bool
}

func (s *logSettings) set(c config.Log) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the config has been checked
	s.level.Set(level)
	s.json.Store(c.Format == "json")
}

// newLog returns a logger that writes to w as configured, and what changes it. No line has a password. For the journal
// each line begins with its priority.
func newLog(w io.Writer, c config.Log, journal bool) (*slog.Logger, *logSettings) {
	s := &logSettings{}
	s.set(c)
	o := &slog.HandlerOptions{Level: &s.level, ReplaceAttr: inSeconds}
	out := &lineWriter{to: redact.Writer(w), journal: journal}
	return slog.New(logFormat{s, out, slog.NewTextHandler(out, o), slog.NewJSONHandler(out, o)}), s
}

// inSeconds writes a duration as seconds, with the unit in its key, so that lines can be compared and added up.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	const exact = 1e6
	return slog.Float64(a.Key+"_s", math.Round(a.Value.Duration().Seconds()*exact)/exact)
}

// logFormat writes each line in the format that is set.
type logFormat struct {
	set        *logSettings
	out        *lineWriter
	text, json slog.Handler
}

func (f logFormat) Enabled(_ context.Context, l slog.Level) bool { return l >= f.set.level.Level() }

func (f logFormat) Handle(ctx context.Context, r slog.Record) error {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	f.out.level = r.Level
	if f.set.json.Load() {
		return f.json.Handle(ctx, r)
	}
	return f.text.Handle(ctx, r)
}

func (f logFormat) WithAttrs(a []slog.Attr) slog.Handler {
	return logFormat{f.set, f.out, f.text.WithAttrs(a), f.json.WithAttrs(a)}
}

func (f logFormat) WithGroup(name string) slog.Handler {
	return logFormat{f.set, f.out, f.text.WithGroup(name), f.json.WithGroup(name)}
}

// lineWriter puts the priority before a line that goes to the journal, which takes it off again (sd-daemon(3)).
type lineWriter struct {
	to      io.Writer
	journal bool

	mu    sync.Mutex // held while a line is made; guards the fields below
	level slog.Level
	buf   []byte
}

func (w *lineWriter) Write(line []byte) (int, error) {
	if !w.journal {
		return w.to.Write(line)
	}
	w.buf = append(append(w.buf[:0], priority(w.level)...), line...)
	if _, err := w.to.Write(w.buf); err != nil {
		return 0, err
	}
	return len(line), nil
}

// priority returns the prefix of a line of this level.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// toJournal reports whether what is written to a file goes to the journal. JOURNAL_STREAM names the socket that
// systemd has given us, and is inherited by who has sent its output elsewhere (systemd.exec(5)).
func toJournal(stream string, device, inode uint64) bool {
	return stream != "" && stream == strconv.FormatUint(device, 10)+":"+strconv.FormatUint(inode, 10)
}

// lostNote is the line that says how many lines were dropped, in the format of the line before it.
func lostNote(like []byte, lost uint64, now time.Time) []byte {
	var note []byte
	if len(like) > 3 && like[0] == '<' && like[2] == '>' {
		note, like = append(note, priority(slog.LevelWarn)...), like[3:]
	}
	out := (*noteWriter)(&note)
	var h slog.Handler = slog.NewTextHandler(out, nil)
	if len(like) > 0 && like[0] == '{' {
		h = slog.NewJSONHandler(out, nil)
	}
	r := slog.NewRecord(now, slog.LevelWarn, "log lines were dropped: what reads the log is too slow", 0)
	r.AddAttrs(slog.Uint64("lines", lost))
	_ = h.Handle(context.Background(), r) // a noteWriter does not fail
	return note
}

type noteWriter []byte

func (w *noteWriter) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}
