package main

import (
	"io"
	"log/slog"

	"github.com/kvsagent/kvsagent/config"
)

// newLog returns a logger that writes to w as configured. The config has already been checked.
func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level))
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
