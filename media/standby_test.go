package media_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// sign is a standby: two pictures a second, the first byte of which is 0x25 where a camera's is 0x65.
type sign struct{}

func (sign) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264, Width: 320, Height: 180}})
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		out.Write(&media.Frame{Codec: media.H264, PTS: time.Duration(i) * 500 * time.Millisecond, Key: true,
			Data: [][]byte{{0x25, byte(i)}}})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// noAnswer is the error of a camera that is off.
type noAnswer struct{ error }

func (noAnswer) Away() bool { return true }

// signs counts the pictures of a standby, and reports whether the last one is.
func signs(frames []*media.Frame) (n int, last bool) {
	for _, f := range frames {
		if last = f.Data[0][0] == 0x25; last {
			n++
		}
	}
	return n, last
}

// A camera is away for an hour and returns. Connected viewers see the standby meanwhile, and the picture when it is
// back, on one timeline. Viewers that join meanwhile see the standby at once.
func TestStandby(t *testing.T) {
	o := media.HubOptions{
		Standby: func([]media.Track) media.Source { return sign{} },
		Backoff: func(n int) time.Duration { return min(time.Second<<min(n, 6), 30*time.Second) },
	}
	hub(t, o, func(h *media.Hub, c *camera) {
		var s, late sink
		defer h.Subscribe(&s)()
		time.Sleep(2 * time.Second)
		if n, _ := signs(s.got()); n != 0 {
			t.Errorf("%d pictures of the standby while the camera is there", n)
		}
		c.set(noAnswer{errors.New("connection refused")}, false)
		time.Sleep(time.Hour)
		n, last := signs(s.got())
		if n < 7100 || n > 7300 || !last {
			t.Errorf("%d pictures of the standby in an hour, want 7,200", n)
		}
		if r := h.Report(); r.State == media.Running || r.Err == nil {
			t.Errorf("the report says %s, %v, want why the camera is away", r.State, r.Err)
		}
		defer h.Subscribe(&late)()
		if frames := late.got(); len(frames) == 0 {
			t.Error("a newcomer sees nothing of the standby")
		}
		c.set(nil, false)
		time.Sleep(3 * time.Second)
		if again, last := signs(s.got()); last || again > n+8 || h.Report().State != media.Running {
			t.Errorf("3 s after the camera is back: %s, %d pictures of the standby since", h.Report().State, again-n)
		}
		s.check(t)
		late.check(t)
	})
}

// A camera that was away for an hour answers with an error while it starts, as many do. That is asked again as soon as
// if it had never been away.
func TestStartingAfterAnHour(t *testing.T) {
	o := media.HubOptions{Backoff: func(n int) time.Duration { return min(time.Second<<min(n-1, 6), 30*time.Second) }}
	hub(t, o, func(h *media.Hub, c *camera) {
		var s sink
		defer h.Subscribe(&s)()
		time.Sleep(2 * time.Second)
		c.set(noAnswer{errors.New("connection refused")}, false)
		time.Sleep(time.Hour)
		c.set(errors.New("no such stream (404)"), false)
		time.Sleep(3 * time.Second)
		c.set(nil, false)
		time.Sleep(3 * time.Second)
		if r := h.Report(); r.State != media.Running {
			t.Errorf("3 s after the camera has started: %s, %v", r.State, r.Err)
		}
	})
}

// The standby ends when nobody wants the source any more, and subscribers that do not want the source do not get it.
func TestStandbyEnds(t *testing.T) {
	var made atomic.Int32
	o := media.HubOptions{Linger: time.Second, Standby: func(tracks []media.Track) media.Source {
		if len(tracks) != 1 || tracks[0].Codec != media.H264 {
			t.Errorf("made for %v", tracks)
		}
		if made.Add(1) > 1 {
			return nil
		}
		return sign{}
	}}
	hub(t, o, func(h *media.Hub, c *camera) {
		var first, s sink
		leave := h.Subscribe(&first)
		time.Sleep(time.Second)
		c.set(errors.New("gone"), false)
		time.Sleep(5 * time.Second)
		leave()
		time.Sleep(5 * time.Second)
		if r := h.Report(); r.State != media.Idle {
			t.Errorf("state after all have left: %s", r.State)
		}
		defer h.Subscribe(&s)()
		time.Sleep(5 * time.Second)
		if frames := s.got(); len(frames) != 0 || made.Load() < 2 {
			t.Errorf("%d frames, %d standbys made", len(frames), made.Load())
		}
	})
}

// dead is a camera that does not answer.
type dead struct{}

func (dead) Run(context.Context, media.Sink) error { return errors.New("connection refused") }

// hung is a camera that takes no notice of anybody.
type hung struct{}

func (hung) Run(ctx context.Context, _ media.Sink) error { <-ctx.Done(); return ctx.Err() }

// A camera that was off when the agent started has a standby at once, whether its address refuses or does not answer:
// in a codec of the standby's, for nothing is known of the camera's. Who joins later sees it, too.
func TestStandbyBeforeTheFirstAnswer(t *testing.T) {
	for name, source := range map[string]media.Source{"refuses": dead{}, "does not answer": hung{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var made atomic.Int32
				h := media.NewHub(media.HubOptions{Source: source, Standby: func(tracks []media.Track) media.Source {
					made.Add(1)
					if len(tracks) != 0 {
						t.Errorf("made for %v", tracks)
					}
					return sign{}
				}})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				defer wg.Wait()
				defer cancel()
				var s, late sink
				defer h.Subscribe(&s)()
				wg.Go(func() { h.Run(ctx) })
				time.Sleep(2500 * time.Millisecond)
				if n, last := signs(s.got()); n == 0 || !last || s.tracks != 1 {
					t.Errorf("%d pictures of the standby after 2.5 s, tracks told %d times", n, s.tracks)
				}
				defer h.Subscribe(&late)()
				if n, _ := signs(late.got()); n == 0 || late.tracks != 1 {
					t.Errorf("a newcomer gets %d pictures, tracks told %d times", n, late.tracks)
				}
				time.Sleep(time.Minute)
				if made.Load() != 1 {
					t.Errorf("%d standbys were made in a minute", made.Load())
				}
			})
		})
	}
}

// slowly is a camera that answers at once and has its first picture five seconds later, in another codec than the
// standby.
type slowly struct{ after time.Duration }

func (c slowly) Run(ctx context.Context, out media.Sink) error {
	time.Sleep(c.after)
	out.Tracks([]media.Track{{Codec: media.H265, Width: 640, Height: 360}, {Codec: media.Opus}})
	time.Sleep(5 * time.Second)
	for i := 0; ctx.Err() == nil; i++ {
		out.Write(&media.Frame{Codec: media.H265, PTS: time.Duration(i) * 40 * time.Millisecond, Key: i%25 == 0,
			Data: [][]byte{{0x26, 1}}})
		time.Sleep(40 * time.Millisecond)
	}
	return ctx.Err()
}

// codecs is a sink that checks that each picture is in the codec that was told last.
type codecs struct {
	t      *testing.T
	told   media.Codec
	frames map[media.Codec]int
}

func (c *codecs) Tracks(tracks []media.Track) { c.told = tracks[0].Codec }
func (c *codecs) Write(f *media.Frame) {
	if c.frames[f.Codec]++; f.Codec != c.told {
		c.t.Errorf("a picture in %s after tracks with %s", f.Codec, c.told)
	}
}

// A camera that answers is not called offline while its first picture is on the way. One that comes back in another
// codec changes it with its first picture.
func TestStandbyCodec(t *testing.T) {
	for name, tt := range map[string]struct {
		after   time.Duration
		standby bool
	}{"answers at once": {0, false}, "answers after ten seconds": {10 * time.Second, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := media.NewHub(media.HubOptions{Source: slowly{tt.after},
					Standby: func([]media.Track) media.Source { return sign{} }})
				ctx, cancel := context.WithTimeout(t.Context(), 18*time.Second)
				defer cancel()
				out := &codecs{t: t, frames: map[media.Codec]int{}}
				defer h.Subscribe(out)()
				h.Run(ctx)
				if got := out.frames[media.H264] > 0; got != tt.standby || out.frames[media.H265] < 50 {
					t.Errorf("%v", out.frames)
				}
			})
		})
	}
}
