package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/kvsagent/kvsagent/config"
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

// newLog returns a logger that writes to w as configured, and what changes it.
func newLog(w io.Writer, c config.Log) (*slog.Logger, *logSettings) {
	s := &logSettings{}
	s.set(c)
	o := &slog.HandlerOptions{Level: &s.level}
	return slog.New(logFormat{s, slog.NewTextHandler(w, o), slog.NewJSONHandler(w, o)}), s
}

// logFormat writes each line in the format that is set.
type logFormat struct {
	set        *logSettings
	text, json slog.Handler
}

func (f logFormat) Enabled(_ context.Context, l slog.Level) bool { return l >= f.set.level.Level() }

func (f logFormat) Handle(ctx context.Context, r slog.Record) error {
	if f.set.json.Load() {
		return f.json.Handle(ctx, r)
	}
	return f.text.Handle(ctx, r)
}

func (f logFormat) WithAttrs(a []slog.Attr) slog.Handler {
	return logFormat{f.set, f.text.WithAttrs(a), f.json.WithAttrs(a)}
}

func (f logFormat) WithGroup(name string) slog.Handler {
	return logFormat{f.set, f.text.WithGroup(name), f.json.WithGroup(name)}
}
