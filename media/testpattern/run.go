package testpattern

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// lateness is how far Run may fall behind the clock before it skips frames instead of catching up.
const lateness = time.Second

// Run writes the pattern to out in real time until ctx is done, and then returns nil. The PTS of a frame follows from
// its number alone, so that nothing drifts. Late frames are written at once, one after the other.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	v, err := newVideo(s.opts)
	if err != nil {
		return fmt.Errorf("test pattern: %w", err)
	}
	v.wanted = &s.keyWanted
	tracks := [...]*track{
		{perSecond: int64(s.opts.Rate), frame: v.frame},
		{perSecond: packetsPerSecond, frame: s.packet},
	}
	out.Tracks([]media.Track{
		{Codec: media.H264, SPS: v.encoder.SPS(), PPS: v.encoder.PPS(), Width: s.opts.Size.X, Height: s.opts.Size.Y},
		{Codec: media.Opus, Channels: 2},
	})

	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := tracks[0]
		if tracks[1].pts() < t.pts() {
			t = tracks[1]
		}
		timer.Reset(time.Until(begin.Add(t.pts())))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if since := time.Since(begin); since-t.pts() > lateness {
			s.opts.Log.Warn("test pattern was held up, leaving frames out", "late", since-t.pts())
			for _, t := range tracks {
				t.skip(since)
			}
			continue
		}
		out.Write(t.frame(t.next, t.pts(), begin.Add(t.pts())))
		t.next++
	}
}

// track is one of the tracks of a run: the number of its next frame, and how to make it.
type track struct {
	perSecond int64
	next      int64
	frame     func(n int64, pts time.Duration, wall time.Time) *media.Frame
}

// pts returns the due time of the next frame.
func (t *track) pts() time.Duration {
	whole, rest := t.next/t.perSecond, t.next%t.perSecond
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(t.perSecond)
}

// skip advances to the first frame that is due at since or later.
func (t *track) skip(since time.Duration) {
	t.next = int64(since/time.Second) * t.perSecond
	for t.pts() < since {
		t.next++
	}
}

// video is the pictures of a run.
type video struct {
	scene   *scene
	encoder *avc.Encoder
	gop     int64        // frames from one key frame to the next
	key     int64        // number of the next key frame
	wanted  *atomic.Bool // a key frame was requested
}

func newVideo(opts Options) (*video, error) {
	encoder, err := avc.NewEncoder(opts.Size, opts.Rate)
	if err != nil {
		return nil, err
	}
	gop := max(1, int64(opts.GOP*time.Duration(opts.Rate)/time.Second))
	return &video{scene: newScene(opts.Size, opts.Rate), encoder: encoder, gop: gop, wanted: new(atomic.Bool)}, nil
}

// frame returns picture n.
func (v *video) frame(n int64, pts time.Duration, wall time.Time) *media.Frame {
	key := n >= v.key || v.wanted.Swap(false)
	data := [][]byte{v.encoder.Encode(v.scene.draw(n, pts, wall), key)}
	if key {
		v.key = n + v.gop
		data = [][]byte{v.encoder.SPS(), v.encoder.PPS(), data[0]}
	}
	return &media.Frame{Codec: media.H264, PTS: pts, Captured: wall, Key: key, Data: data}
}

// packet returns audio packet n.
func (s *Source) packet(n int64, pts time.Duration, wall time.Time) *media.Frame {
	return &media.Frame{Codec: media.Opus, PTS: pts, Captured: wall, Data: [][]byte{s.sound[n%int64(len(s.sound))]}}
}
