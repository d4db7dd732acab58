package agent

import (
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// firstFrame is a sink that records when the first picture came, and passes everything on.
type firstFrame struct {
	media.Sink // nil discards
	began      time.Time

	mu   sync.Mutex // guards came
	came time.Time
}

// Tracks implements media.Sink.
func (f *firstFrame) Tracks(tracks []media.Track) {
	if f.Sink != nil {
		f.Sink.Tracks(tracks)
	}
}

// Write implements media.Sink.
func (f *firstFrame) Write(frame *media.Frame) {
	if frame.Codec.Video() {
		f.mu.Lock()
		if f.came.IsZero() {
			f.came = time.Now()
		}
		f.mu.Unlock()
	}
	if f.Sink != nil {
		f.Sink.Write(frame)
	}
}

// at returns when the first picture came; zero means not yet.
func (f *firstFrame) at() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.came
}
