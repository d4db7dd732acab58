// Package slate is a source that shows why there is no picture: the camera is offline, or its owner wants privacy. It is H.264 without
// sound, two frames a second, of which each second is a key frame, at some kbit/s.
package slate

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// Kind is what a slate says.
type Kind string

// The slates there are. A line feed parts lines.
const (
	Offline Kind = "camera\noffline"
	Private Kind = "privacy"
)

// Options shapes a slate. The zero value says Offline at 1280x720.
type Options struct {
	Kind Kind
	Size image.Point // in pixels, of the source that is away; a slate stays within 320x180 and 1920x1080, and is even
}

// rate is frames a second; each GOP is a second.
const rate = 2

// Source is one slate. It holds no state between runs.
type Source struct{ o Options }

var _ media.Source = (*Source)(nil)

// New makes a slate.
func New(o Options) *Source {
	if o.Kind == "" {
		o.Kind = Offline
	}
	if o.Size.X <= 0 || o.Size.Y <= 0 {
		o.Size = image.Pt(1280, 720)
	}
	o.Size.X = min(max(o.Size.X, 320), 1920) &^ 1
	o.Size.Y = min(max(o.Size.Y, 180), 1080) &^ 1
	return &Source{o}
}

// Run shows the slate until ctx is done, and then returns nil. It says since when it is shown, by local time.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	encoder, err := avc.NewEncoder(s.o.Size, rate)
	if err != nil {
		return fmt.Errorf("slate: %w", err)
	}
	out.Tracks([]media.Track{{Codec: media.H264, SPS: encoder.SPS(), PPS: encoder.PPS(), Width: s.o.Size.X, Height: s.o.Size.Y}})
	begin := time.Now()
	p := s.draw(begin)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil
		}
		key := n%rate == 0
		p.dot(n%2 == 0)
		now := time.Now()
		f := &media.Frame{Codec: media.H264, PTS: now.Sub(begin), Captured: now, Key: key, Data: [][]byte{encoder.Encode(p.Picture, key)}}
		if key {
			f.Data = [][]byte{encoder.SPS(), encoder.PPS(), f.Data[0]}
		}
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
