package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/onvif"
)

// keyWithin is how long a camera has to answer that it makes a key frame.
const keyWithin = 5 * time.Second

// synced is a camera that is asked for key frames over ONVIF, beside its stream.
type synced struct {
	media.Source
	stream *onvif.Stream
	wish   chan struct{} // 1 slot
	unable atomic.Bool   // it has said that it makes none
	log    *slog.Logger
}

func withKeyFrames(src media.Source, stream *onvif.Stream, log *slog.Logger) *synced {
	return &synced{Source: src, stream: stream, wish: make(chan struct{}, 1), log: log}
}

// RequestKeyFrame implements media.KeyFramer.
func (s *synced) RequestKeyFrame() {
	select {
	case s.wish <- struct{}{}:
	default: // it is being asked
	}
}

// MakesKeyFrames implements media.KeyFramer's exception.
func (s *synced) MakesKeyFrames() bool { return !s.unable.Load() }

// Run implements media.Source.
func (s *synced) Run(ctx context.Context, out media.Sink) error {
	asking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.ask(asking) })
	defer wg.Wait()
	defer stop()
	return s.Source.Run(ctx, out)
}

// ask passes wishes on, one at a time, until ctx is done or the camera makes no key frames.
func (s *synced) ask(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wish:
		}
		within, cancel := context.WithTimeout(ctx, keyWithin)
		err := s.stream.RequestKeyFrame(within)
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, onvif.ErrUnsupported):
			s.unable.Store(true)
			s.log.Warn("this camera makes no key frames on request; viewers who need one get what is cached", "err", err)
			return
		default:
			s.log.Warn("no key frame from the camera", "err", err)
		}
	}
}
