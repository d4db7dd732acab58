package peer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// stalling is a source that stops after a while, and gives nothing more however often it is started.
type stalling struct {
	ticker
	after time.Duration
	ran   bool // by the hub's goroutine
}

func (s *stalling) Run(ctx context.Context, out media.Sink) error {
	if s.ran {
		<-ctx.Done()
		return nil
	}
	s.ran = true
	some, stop := context.WithTimeout(ctx, s.after)
	defer stop()
	if err := s.ticker.Run(some, out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// TestIdle ends a session that carries nothing, and none that carries little.
func TestIdle(t *testing.T) {
	t.Run("nothing comes any more", func(t *testing.T) {
		o := callOptions{idle: time.Minute, source: &stalling{ticker: ticker{every: 100 * time.Millisecond, gop: 10},
			after: 10 * time.Second}}
		inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
			c.plays(50)
			began := time.Now()
			err := c.end(c.masterDone, 90*time.Second)
			if err == nil || !strings.Contains(err.Error(), "idle: neither picture nor sound for 1m0s") ||
				time.Since(began) < time.Minute {
				t.Errorf("the master's side ended after %v with %v, want that it was idle for a minute",
					time.Since(began), err)
			}
		})
	})
	t.Run("a picture now and then", func(t *testing.T) {
		inBubble(t, callOptions{idle: time.Minute, fps: 0.02}, nil, func(_ *testing.T, c *call, _, _ *site) {
			c.plays(1)
			time.Sleep(30 * time.Minute)
			c.plays(1)
		})
	})
	t.Run("without a limit", func(t *testing.T) {
		o := callOptions{source: &stalling{ticker: ticker{every: 100 * time.Millisecond, gop: 10},
			after: 10 * time.Second}}
		inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
			c.plays(50)
			select {
			case err := <-c.masterDone:
				t.Errorf("the master's side ended: %v", err)
			case <-time.After(time.Hour):
			}
		})
	})
}
