package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/internal/outage"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/onvif"
)

const (
	keyWithin = 15 * time.Second // for a camera to answer; the first request also lists its profiles
	keyPause  = time.Minute      // after an error
	keyLocked = 15 * time.Minute // after a wrong password: more attempts could lock the account
)

// synced is a camera that is asked for key frames over ONVIF, beside its stream. After an error it is not asked for a
// while, and viewers get what is cached.
type synced struct {
	media.Source
	stream *onvif.Stream
	wish   chan struct{} // 1 slot
	until  atomic.Int64  // not asked before this; Unix seconds
	log    *slog.Logger

	failures outage.Series // for the log; owned by ask
}

func withKeyFrames(src media.Source, stream *onvif.Stream, log *slog.Logger) *synced {
	return &synced{Source: src, stream: stream, wish: make(chan struct{}, 1), log: log}
}

// RequestKeyFrame implements media.KeyFramer.
func (s *synced) RequestKeyFrame() {
	select {
	case s.wish <- struct{}{}:
	default: // a request is pending
	}
}

// MakesKeyFrames reports false while the camera is not asked; see media.KeyFramer.
func (s *synced) MakesKeyFrames() bool { return time.Now().Unix() >= s.until.Load() }

// Run implements media.Source.
func (s *synced) Run(ctx context.Context, out media.Sink) error {
	asking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.ask(asking) })
	defer wg.Wait()
	defer stop()
	return s.Source.Run(ctx, out)
}

// ask passes on requests, one at a time, until ctx is done.
func (s *synced) ask(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wish:
		}
		if !s.MakesKeyFrames() {
			continue
		}
		within, cancel := context.WithTimeout(ctx, keyWithin)
		err := s.stream.RequestKeyFrame(within)
		cancel()
		if err == nil && s.failures.Recovered(time.Now()) {
			s.log.Debug("the camera makes key frames")
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		pause := keyPause
		if errors.Is(err, onvif.ErrLogin) || errors.Is(err, onvif.ErrUnsupported) {
			pause = keyLocked
		}
		s.until.Store(time.Now().Add(pause).Unix())
		if s.failures.Failed(time.Now(), err.Error()) {
			s.log.Warn("no key frame from the camera; viewers who need one get what is cached", "err", err,
				"tries", s.failures.Tries(), "retry", pause)
		}
	}
}
