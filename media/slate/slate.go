// Package slate is a source that shows why there is no picture: the camera is offline, or its owner wants privacy. It
// has no sound, and two frames a second, of which each second is a key frame, at some kbit/s. H.264 is drawn and
// encoded here, at any size and with the time; what is shown in another codec was encoded beforehand.
package slate

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Kind is what a slate says.
type Kind string

// The slates there are. A line feed parts lines.
const (
	Offline Kind = "camera\noffline"
	Private Kind = "privacy"
)

// Options shapes a slate. The zero value says Offline in H.264 at 1280x720.
type Options struct {
	Kind  Kind
	Codec media.Codec // of video; default is H264
	// In pixels, of the source that is away; H.264 stays within 320x180 and 1920x1080, and is even. Others take its
	// shape, about.
	Size image.Point
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
	if o.Codec == "" {
		o.Codec = media.H264
	}
	if o.Size.X <= 0 || o.Size.Y <= 0 {
		o.Size = image.Pt(1280, 720)
	}
	return &Source{o}
}

// Like makes a slate with the codec and the shape of the video among the tracks of a source that is away. Of one that
// never had any it is H.264.
func Like(kind Kind, tracks []media.Track) *Source {
	for _, t := range tracks {
		if t.Codec.Video() {
			return New(Options{Kind: kind, Codec: t.Codec, Size: image.Pt(t.Width, t.Height)})
		}
	}
	return New(Options{Kind: kind})
}

// coder is where the pictures of one run come from.
type coder interface {
	track() media.Track
	// next gives the pictures in turn: the data of a key frame, and of one that follows upon it.
	next(key bool) [][]byte
}

func (s *Source) coder(since time.Time) (coder, error) {
	if s.o.Codec == media.H264 {
		return newDrawn(s.o, since)
	}
	return newStill(s.o)
}

// Run shows the slate until ctx is done, and then returns nil. H.264 says since when it is shown, by local time.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	begin := time.Now()
	c, err := s.coder(begin)
	if err != nil {
		return fmt.Errorf("slate: %w", err)
	}
	out.Tracks([]media.Track{c.track()})
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil
		}
		key, now := n%rate == 0, time.Now()
		out.Write(&media.Frame{Codec: s.o.Codec, PTS: now.Sub(begin), Captured: now, Key: key, Data: c.next(key)})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
