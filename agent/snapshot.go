package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/slate"
	"github.com/kvsagent/kvsagent/media/snapshot"
	"github.com/kvsagent/kvsagent/status"
)

const (
	pictureWithin = 10 * time.Second // from a source's start to its first key frame
	decoders      = 2                // at the same time
)

// Snapshot returns the newest key frame of a source, as JPEG or as it is. A source without viewers is started for it.
func (a *Agent) Snapshot(ctx context.Context, name, format string) (out status.Snapshot, err error) {
	defer func() {
		var p *status.Problem
		switch {
		case errors.As(err, &p):
			err = &status.Problem{Status: p.Status, Text: redact.Text(p.Text), Hint: redact.Text(p.Hint)}
		case err != nil && ctx.Err() == nil:
			err = &status.Problem{Status: 502, Text: redact.Text(err.Error())}
		}
	}()
	a.mu.Lock()
	s := a.sources[name]
	a.mu.Unlock()
	if s == nil {
		return status.Snapshot{}, &status.Problem{Status: 404, Text: fmt.Sprintf("there is no source %q", name)}
	}
	for {
		closed := s.privacy.Why() != ""
		out, err := a.still(ctx, s, snapshot.Format(format), closed)
		if closed || s.privacy.Why() == "" {
			return out, err
		} // otherwise the source was closed meanwhile, and its picture must not be shown any more
	}
}

// still returns a picture of a source, or of the slate while the source is closed.
func (a *Agent) still(ctx context.Context, s *source, format snapshot.Format, closed bool) (status.Snapshot, error) {
	f, err := s.picture(ctx, closed)
	if err != nil {
		return status.Snapshot{}, err
	}
	own := snapshot.FormatOf(f.Codec)
	out := status.Snapshot{At: f.Captured}
	switch format {
	case own:
		out.Body = snapshot.Stream(f)
	case snapshot.JPEG:
		out.Body, err = s.camera.JPEG(ctx, a.decoder, f)
		if errors.Is(err, snapshot.ErrNoDecoder) {
			err = &status.Problem{Status: 501, Text: err.Error(),
				Hint: fmt.Sprintf("apt-get install ffmpeg; snapshot.%s needs none", own)}
		}
	default:
		err = &status.Problem{Status: 406, Text: fmt.Sprintf("source %q gives %s", s.name, f.Codec),
			Hint: fmt.Sprintf("ask for snapshot.%s or snapshot.jpg", own)}
	}
	return out, err
}

// picture returns the newest key frame, or nil when the source is closed: its hub may keep the camera's picture a
// moment longer.
func (s *source) picture(ctx context.Context, closed bool) (*media.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, pictureWithin)
	defer cancel()
	if closed {
		return snapshot.From(ctx, slate.Like(slate.Private, s.tracks()))
	}
	f, err := snapshot.Of(ctx, s.hub)
	if err == nil && s.hub.NeverAnswered() {
		p := &status.Problem{Status: 504, Text: fmt.Sprintf("source %q has never given a picture", s.name)}
		if err := s.hub.Report().Err; err != nil {
			p.Text += ": " + err.Error()
		}
		return nil, p
	}
	return f, s.noPicture(err)
}

// noPicture returns why no picture came in time.
func (s *source) noPicture(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, snapshot.ErrNoVideo) {
		return &status.Problem{Status: 404, Text: fmt.Sprintf("source %q has no picture: it gives sound alone", s.name)}
	}
	p := &status.Problem{Status: 504, Text: fmt.Sprintf("source %q gave no key frame in %v", s.name, pictureWithin)}
	if err := s.hub.Report().Err; err != nil {
		p.Text += ": " + err.Error()
	}
	return p
}

// tracks returns the tracks of the source that are known.
func (s *source) tracks() (list []media.Track) {
	for _, t := range s.hub.Report().Tracks {
		list = append(list, t.Track)
	}
	return list
}
