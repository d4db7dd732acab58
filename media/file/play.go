package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// maxGap is the longest plausible time between two samples.
const maxGap = time.Hour

// minStep is the shortest plausible average time between two samples. Opus packets last at least 2.5 ms.
const minStep = time.Millisecond

// maxLate is how far the player may fall behind (a suspended host, a slow disk) before it skips the time instead of
// catching up.
const maxLate = time.Second

var _ media.Source = (*Source)(nil)

// Run plays the file until ctx is done or the file cannot be played, as media.Source requires. PTS continues from one
// pass to the next.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	if err := s.run(ctx, out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Path: s.path, Err: err}
	}
	return nil
}

// Error is why a file could not be played.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("file source %s: %v", e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Slow reports that a retry will not help until the file has been changed.
func (e *Error) Slow() bool { return true }

func (s *Source) run(ctx context.Context, out media.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(s.path)
	if err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			err = path.Err // the path is in Error
		}
		return fmt.Errorf("%w; hint: check the path, and that this user may read it", err)
	}
	defer f.Close()
	c, err := s.open(f)
	if err != nil {
		return err
	}
	if m, ok := c.(*mp4File); ok && m.silent != "" {
		media.Note(out, "no sound: "+m.silent)
		s.silence.Do(func() { s.log.Warn("file source has no sound", "path", s.path, "why", m.silent) })
	}

	p := &player{out: out, tracks: c.tracks(), start: time.Now(), timer: time.NewTimer(0)}
	defer p.timer.Stop()
	for _, t := range p.tracks {
		p.params.Set(t.SPS, t.PPS)
	}
	p.params.Settle()
	if sps := p.params.SPS(); sps != nil {
		if err := playable(sps); err != nil {
			return err
		}
	}
	out.Tracks(p.tracks)
	for {
		if err := p.pass(ctx, c); err != nil {
			return err
		}
		if err := c.rewind(); err != nil {
			return err
		}
	}
}

// player paces samples and makes frames of them.
type player struct {
	out    media.Sink
	tracks []media.Track
	params h264.Params
	start  time.Time // the time of PTS 0
	timer  *time.Timer

	offset time.Duration // added to the times of the file in this pass
	begin  time.Duration // PTS of the beginning of this pass
	end    time.Duration // PTS of the end of the last sample so far
	keyed  bool          // this pass has shown a key frame
}

// pass plays the file once.
func (p *player) pass(ctx context.Context, c container) error {
	p.keyed, p.begin = false, p.end
	last, n := time.Duration(-1<<63), 0
	for ; ; n++ {
		s, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if s.codec == media.H264 {
			if s.pts < last {
				return errBFrames
			}
			last = s.pts
		}
		if n == 0 {
			p.offset = p.begin - s.pts
		}
		pts := max(p.begin, p.offset+s.pts)
		if pts > p.end+maxGap {
			return fmt.Errorf("damaged: a gap of %v in its times", pts-p.end)
		}
		p.end = max(p.end, pts+s.duration)
		if err := p.wait(ctx, pts); err != nil {
			return err
		}
		if err := p.write(s, pts); err != nil {
			return err
		}
	}
	switch {
	case n == 0:
		return errors.New("nothing to play in it; hint: is it cut off?")
	case !p.keyed && p.tracks[0].Codec.Video():
		return errors.New("no key frame (IDR picture) in the whole file; hint: is it cut off?")
	}
	if lasts := p.end - p.begin; lasts < time.Duration(n)*minStep {
		return fmt.Errorf("damaged: %d samples in %v", n, lasts)
	}
	return nil
}

// wait returns when pts is due.
func (p *player) wait(ctx context.Context, pts time.Duration) error {
	ahead := time.Until(p.start.Add(pts))
	if ahead < -maxLate {
		p.start = p.start.Add(-ahead)
	}
	if ahead <= 0 {
		return ctx.Err()
	}
	p.timer.Reset(ahead)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.timer.C:
		return nil
	}
}

func (p *player) write(s sample, pts time.Duration) error {
	f := &media.Frame{Codec: s.codec, PTS: pts, Captured: time.Now(), Data: s.data}
	if s.codec == media.H264 {
		u, ok := p.params.Next(s.data)
		if !ok || !u.Key && !p.keyed {
			return nil
		}
		p.keyed = true
		f.Key, f.Data = u.Key, u.NALs
		if u.Changed {
			if err := playable(p.params.SPS()); err != nil {
				return err
			}
			p.announce()
		}
	}
	p.out.Write(f)
	return nil
}

// playable returns why browsers do not decode a stream with this SPS, and what helps.
func playable(sps []byte) error {
	if err := h264.Playable(sps); err != nil {
		return fmt.Errorf("%w; hint: ffmpeg -i FILE -c:v libx264 -profile:v baseline -pix_fmt yuv420p -c:a libopus "+
			"OUT.mp4", err)
	}
	return nil
}

// announce tells the sink of new parameter sets.
func (p *player) announce() {
	tracks := append([]media.Track(nil), p.tracks...)
	for i := range tracks {
		if t := &tracks[i]; t.Codec == media.H264 {
			t.SPS, t.PPS = p.params.SPS(), p.params.PPS()
			t.Width, t.Height = p.params.Size()
		}
	}
	p.tracks = tracks
	p.out.Tracks(tracks)
}
