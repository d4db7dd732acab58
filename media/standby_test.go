package media_test

import (
	"context"
	"errors"
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

// A camera that never answered has no standby, since its codec is unknown.
func TestNoStandbyBeforeTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := media.NewHub(media.HubOptions{Source: dead{},
			Standby: func([]media.Track) media.Source { t.Error("made"); return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var s sink
		defer h.Subscribe(&s)()
		h.Run(ctx)
		if len(s.got()) != 0 {
			t.Errorf("%d frames", len(s.got()))
		}
	})
}
