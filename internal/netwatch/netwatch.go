// Package netwatch reports when this host's network has changed: another address or default route, or a sleep in
// between.
//
// It compares states instead of reacting to every message of the kernel: routers that announce themselves every few
// seconds change nothing. On systems other than Linux it only notices sleeps.
package netwatch

import (
	"context"
	"log/slog"
	"time"
)

const (
	settle = time.Second      // after a message of the kernel: many come while a network starts
	glance = 5 * time.Second  // between two checks of the clocks
	asleep = 10 * time.Second // difference of the wall clock after a sleep, or after it was set
)

// Run calls changed after each change until ctx is done. When it cannot listen to the kernel, it logs that and only
// notices sleeps.
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
	look    func() (string, error) // addresses and default routes, as text to compare
	drift   func() time.Duration   // of the wall clock against the monotonic one
	changed func()
	log     *slog.Logger

	seen  string
	drawn time.Duration
}

// run compares the state with the previous one, once after each burst of messages, and the clocks now and then.
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
	w.log.Info("clock jumped: this host slept, or its clock was set", "by", by.Round(time.Second))
	w.changed()
}

// driftSince returns how far the wall clock has moved ahead of the monotonic clock since start. On Linux the monotonic
// clock stops during a sleep.
func driftSince(start time.Time) func() time.Duration {
	return func() time.Duration {
		now := time.Now()
		return now.Round(0).Sub(start.Round(0)) - now.Sub(start)
	}
}
