// Package testpattern is a source that needs no camera: colour bars, a bouncing ball whose hits are heard, a clock, and
// a machine-readable frame number, as H.264 Constrained Baseline and Opus, made in this package.
//
// From top to bottom the picture shows
//
//	frame number for machines (FrameNumber)             1280x720p30
//	colour bars of 75 percent, and before them a panel:
//	    kvsagent
//	    HH:MM:SS.mmm, local time when the frame was made
//	    a line that fills once a second
//	    date, zone, frame number
//	the bars in reverse
//	a lane: the ball hits the left paddle at even seconds of PTS, the right one at odd seconds
//	a ramp from black to white
//
// It moves in every frame, takes about 0.4 Mbit/s at 1280x720, and a fraction of a millisecond to make.
package testpattern

import (
	"fmt"
	"image"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// Options shapes the pattern. The zero value is 1280x720 at 30 frames a second.
type Options struct {
	Size image.Point   // pixels, even, at least 320x180; default 1280x720
	Rate int           // frames a second, 1 to 120; default 30
	GOP  time.Duration // time between key frames, at most 1 minute; default 2s
	Log  *slog.Logger  // nil discards
}

// Source makes the pattern. It holds no state between runs, so that several can run at the same time.
type Source struct {
	opts  Options
	sound [][]byte // Opus packets, played in a loop

	keyWanted atomic.Bool
}

var (
	_ media.Source    = (*Source)(nil)
	_ media.KeyFramer = (*Source)(nil)
)

// RequestKeyFrame makes the next picture a key frame.
func (s *Source) RequestKeyFrame() { s.keyWanted.Store(true) }

// New checks opts, fills in defaults, and starts nothing.
func New(opts Options) (*Source, error) {
	opts = opts.fill()
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("test pattern: %w", err)
	}
	sound, err := loop(hits)
	if err != nil {
		return nil, fmt.Errorf("test pattern: sound: %w", err)
	}
	return &Source{opts: opts, sound: sound}, nil
}

// fill returns o with its defaults filled in.
func (o Options) fill() Options {
	if o.Size == (image.Point{}) {
		o.Size = image.Pt(1280, 720)
	}
	if o.Rate == 0 {
		o.Rate = 30
	}
	if o.GOP == 0 {
		o.GOP = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// check returns what is wrong with o and what would be right, or nil.
func (o Options) check() error {
	switch {
	case o.Size.X < 320 || o.Size.Y < 180 || o.Size.X > 4096 || o.Size.Y > 4096:
		return fmt.Errorf("size %dx%d: outside 320x180 to 4096x4096; hint: size=1280x720", o.Size.X, o.Size.Y)
	case o.Size.X%2 != 0 || o.Size.Y%2 != 0:
		return fmt.Errorf("size %dx%d: an odd number; hint: 4:2:0 video has an even width and height", o.Size.X,
			o.Size.Y)
	case o.Rate < 1 || o.Rate > 120:
		return fmt.Errorf("rate %d: outside 1 to 120 frames a second; hint: rate=30", o.Rate)
	case o.GOP < 0 || o.GOP > time.Minute:
		return fmt.Errorf("gop %v: outside 0 to 1m; hint: gop=2s", o.GOP)
	}
	_, err := avc.NewEncoder(o.Size, o.Rate) // checks that a level of H.264 allows it
	return err
}
