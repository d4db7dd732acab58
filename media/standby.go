package media

import (
	"context"
	"sync"
	"time"
)

func (h *Hub) onStandby() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.standby != nil
}

// NeverAnswered says whether the standby stands in for a source that has never answered: there is no picture of that.
func (h *Hub) NeverAnswered() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.answered && h.standby != nil
}

// standbyAfter is how long viewers see nothing of a source that does not answer.
const standbyAfter = 2 * time.Second

// unanswered reports whether viewers should see the standby of a source that has not answered yet. One that has, and
// whose first picture is on its way, is not away.
func (h *Hub) unanswered(since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.standby == nil && !h.started && !h.answered && time.Since(since) >= standbyAfter
}

// showStandby runs the standby until the source has a picture again, or until the returned function is called, which
// waits for its end.
func (h *Hub) showStandby(ctx context.Context) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.o.Standby == nil {
		return func() {}
	}
	src := h.o.Standby(h.tracks)
	if src == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	h.standby, h.shown = cancel, nil
	s := &standbySink{h: h, ctx: ctx}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := src.Run(ctx, s); err != nil && ctx.Err() == nil {
			h.o.Log.Warn("standby failed", "source", h.o.Name, "err", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.standby = nil
	}
}

// standbySink is the hub as a standby sees it: its frames do not count as a sign of life of the source.
type standbySink struct {
	h    *Hub
	ctx  context.Context // of the standby; done when the source has a picture again
	base *time.Duration  // nil before the first frame
}

// Tracks tells subscribers the standby's video track, and the source's audio track, which will return.
func (s *standbySink) Tracks(tracks []Track) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	all := append([]Track(nil), tracks...)
	if len(s.h.tracks) == 0 {
		// Most viewers take no offer later on: they negotiate sound now, or have none when the source comes.
		all = append(all, Track{Codec: Opus})
	}
	for _, t := range s.h.tracks {
		if !t.Codec.Video() {
			all = append(all, t)
		}
	}
	s.h.shown = all
	for _, sink := range s.h.sinks {
		sink.Tracks(all)
	}
}

func (s *standbySink) Write(f *Frame) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	if s.base == nil {
		base := s.h.joint(time.Now(), f)
		s.base = &base
	}
	s.h.send(f, *s.base)
}
