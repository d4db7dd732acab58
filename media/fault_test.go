package media_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/kvsagent/kvsagent/media"
)

// faulty is a source that gives ten frames and panics, the first time.
type faulty struct{ runs atomic.Int32 }

func (s *faulty) Run(ctx context.Context, out media.Sink) error {
	n := s.runs.Add(1)
	out.Tracks([]media.Track{{Codec: media.H264}})
	for i := 0; ; i++ {
		out.Write(&media.Frame{Codec: media.H264, Key: i%10 == 0, PTS: time.Duration(i) * 40 * time.Millisecond,
			Captured: time.Now(), Data: [][]byte{{0x65}}})
		if n == 1 && i == 9 {
			panic("injected")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(40 * time.Millisecond):
		}
	}
}

// counter counts frames, or panics for each.
type counter struct {
	mu     sync.Mutex // guards n
	n      int
	broken bool
}

func (c *counter) Tracks([]media.Track) {}

func (c *counter) Write(*media.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.broken {
		panic("injected")
	}
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// TestFaultOfASource: it has failed, as by an error, and is started again.
func TestFaultOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, got := &faulty{}, &counter{}
		h := media.NewHub(media.HubOptions{Name: "gate", Source: s, Log: slog.New(slog.DiscardHandler),
			Backoff: func(int) time.Duration { return time.Second }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.Run(ctx) }()
		leave := h.Subscribe(got)
		time.Sleep(500 * time.Millisecond)
		var f *fault.Error
		if r := h.Report(); !errors.As(r.Err, &f) || got.count() != 10 {
			t.Errorf("%d frames, error %v", got.count(), r.Err)
		}
		time.Sleep(5 * time.Second)
		if got.count() < 50 || s.runs.Load() != 2 {
			t.Errorf("%d frames in %d runs", got.count(), s.runs.Load())
		}
		leave()
		cancel()
		<-done
	})
}

// TestFaultOfASubscriber: the source and the other subscribers go on.
func TestFaultOfASubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{}
		s.runs.Store(1) // it does not panic itself
		broken, honest := &counter{broken: true}, &counter{}
		h := media.NewHub(media.HubOptions{Name: "gate", Source: s, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.Run(ctx) }()
		leaves := []func(){h.Subscribe(broken), h.Subscribe(honest)}
		time.Sleep(4 * time.Second)
		if honest.count() < 100 || broken.count() != honest.count() || s.runs.Load() != 2 {
			t.Errorf("%d frames beside %d that panicked, in %d runs", honest.count(), broken.count(), s.runs.Load()-1)
		}
		for _, leave := range leaves {
			leave()
		}
		cancel()
		<-done
	})
}
