package rtsp_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// watcher is a viewer that stays.
type watcher struct {
	mu     sync.Mutex
	frames []*media.Frame
	more   chan struct{} // 1 slot: a picture has come
}

func (w *watcher) Tracks([]media.Track) {}

func (w *watcher) Write(f *media.Frame) {
	if !f.Codec.Video() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, f)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Fault 83: a camera is unplugged for a while. Connected viewers see the picture within three seconds of its answer,
// and PTS has continued.
func TestAway(t *testing.T) {
	video := baseline(t, "-g", "10")
	cam := (&camera{t: t, video: []clip{video}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	h := media.NewHub(media.HubOptions{Source: src, Log: slog.New(slog.DiscardHandler),
		Backoff: func(n int) time.Duration { return min(time.Second<<n, 30*time.Second) }})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	w := &watcher{more: make(chan struct{}, 1)}
	defer h.Subscribe(w)()
	wait := func(d time.Duration) {
		t.Helper()
		select {
		case <-w.more:
		case <-time.After(d):
			t.Fatalf("no picture for %v: %+v", d, h.Report())
		}
	}
	wait(20 * time.Second)
	address := cam.address
	cam.stop()
	time.Sleep(8 * time.Second) // the time is the subject: by now a plain backoff would wait longer than we may
	select {
	case <-w.more:
	default:
	}
	if r := h.Report(); r.State == media.Running || r.Err == nil {
		t.Errorf("while it is away the report says %s, %v", r.State, r.Err)
	}
	(&camera{t: t, video: []clip{video}}).start(address)
	wait(3 * time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, f := range w.frames[1:] {
		if f.PTS < w.frames[i].PTS {
			t.Errorf("PTS goes back from %v to %v", w.frames[i].PTS, f.PTS)
		}
	}
	if last := w.frames[len(w.frames)-1]; !last.Key || last.PTS < 8*time.Second {
		t.Errorf("after the gap: key %t, PTS %v", last.Key, last.PTS)
	}
}
