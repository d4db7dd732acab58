// Package netwatch says when this host's network is not what it was: another address or default route, or a sleep in
// between.
//
// It looks at what is there instead of believing every message of the kernel: routers that announce themselves every
// few seconds change nothing. On systems other than Linux it notices sleeps only.
package netwatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	settle = time.Second      // after a message of the kernel, while a network comes up there are many
	glance = 5 * time.Second  // between two looks at the clocks
	asleep = 10 * time.Second // by which the wall clock is ahead or behind after a sleep, or after it was set
)

// Run calls changed each time until ctx is done. When the kernel cannot be listened to, it says so in the log and
// notices sleeps only.
func Run(ctx context.Context, log *slog.Logger, changed func()) {
	w := watcher{look: look, drift: driftSince(time.Now()), changed: changed, log: log}
	messages, stop, err := listen()
	if err != nil {
		log.Warn("changes of the network are not noticed", "err", err)
	} else {
		defer stop()
	}
	w.run(ctx, messages)
}

// watcher is one Run.
type watcher struct {
	look    func() (string, error) // addresses and default routes, as a text to compare
	drift   func() time.Duration   // of the wall clock against the monotonic one
	changed func()
	log     *slog.Logger

	seen  string
	drawn time.Duration
}

// run compares what there is with what was, once after each burst of messages, and the clocks now and then.
func (w *watcher) run(ctx context.Context, messages <-chan struct{}) {
	w.seen, _ = w.look()
	w.drawn = w.drift()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	pending := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-messages:
			if !pending {
				pending = true
				quiet.Reset(settle)
			}
		case <-quiet.C:
			pending = false
			w.compare()
		case <-tick.C:
			w.clocks()
		}
	}
}

func (w *watcher) compare() {
	now, err := w.look()
	if err != nil {
		w.log.Warn("network not looked at", "err", err)
		return
	}
	if now == w.seen {
		return
	}
	w.seen = now
	w.log.Info("network changed")
	w.changed()
}

func (w *watcher) clocks() {
	now := w.drift()
	by := now - w.drawn
	w.drawn = now
	if by > -asleep && by < asleep {
		return
	}
	w.log.Info("clock jumped: this host slept, or its clock was set", "by", fmt.Sprint(by.Round(time.Second)))
	w.changed()
}

// driftSince returns how far the wall clock has gone ahead of the monotonic one since start. On Linux the monotonic one
// stands still in a sleep.
func driftSince(start time.Time) func() time.Duration {
	return func() time.Duration {
		now := time.Now()
		return now.Round(0).Sub(start.Round(0)) - now.Sub(start)
	}
}
