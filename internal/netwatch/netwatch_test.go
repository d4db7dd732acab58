package netwatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// TestBursts: a network that starts sends many messages and is one change; messages without a change are no change.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		messages := make(chan struct{})
		var there atomic.Value
		there.Store("192.0.2.1")
		var at []time.Duration
		start := time.Now()
		w := watcher{
			look:    func() (string, error) { return there.Load().(string), nil },
			drift:   func() time.Duration { return 0 },
			changed: func() { at = append(at, time.Since(start)) },
			log:     quiet,
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.run(ctx, messages) })
		for range 10 { // of a router that announces itself
			messages <- struct{}{}
			time.Sleep(3 * time.Second)
		}
		there.Store("")
		messages <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		there.Store("198.51.100.1")
		for range 5 {
			messages <- struct{}{}
		}
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		if len(at) != 1 || at[0] != 31*time.Second {
			t.Errorf("changed at %v, want once, a second after the first message of the burst at 30 s", at)
		}
	})
}

// TestSleep: a wall clock that jumps, either way, is a change; one that is slewed is not.
func TestSleep(t *testing.T) {
	for _, tt := range []struct {
		name  string
		drift func(since time.Duration) time.Duration
		want  int
	}{
		{"steady", func(time.Duration) time.Duration { return 0 }, 0},
		{"slewed", func(d time.Duration) time.Duration { return d / 2000 }, 0},
		{"leap second", func(d time.Duration) time.Duration { return d / time.Hour * time.Second }, 0},
		{"slept an hour", func(d time.Duration) time.Duration { return d / (6 * time.Hour) * time.Hour }, 4},
		{"set a day back", func(d time.Duration) time.Duration { return -(d / (12 * time.Hour)) * 24 * time.Hour }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, n := time.Now(), 0
				w := watcher{
					look:    func() (string, error) { return "", errors.New("not asked") },
					drift:   func() time.Duration { return tt.drift(time.Since(start)) },
					changed: func() { n++ },
					log:     quiet,
				}
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour+time.Minute)
				defer cancel()
				w.run(ctx, nil)
				if n != tt.want {
					t.Errorf("%d changes in a day, want %d", n, tt.want)
				}
			})
		})
	}
}
