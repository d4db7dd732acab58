package media_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// camera is a source that a test drives: it writes a frame every 40 ms, a key frame each second, until told to fail or
// to fall silent.
type camera struct {
	mu     sync.Mutex
	runs   int
	fail   error
	silent bool
}

func (c *camera) set(fail error, silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.silent = fail, silent
}

func (c *camera) started() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs
}

func (c *camera) Run(ctx context.Context, out media.Sink) error {
	c.mu.Lock()
	c.runs++
	c.mu.Unlock()
	out.Tracks([]media.Track{{Codec: media.H264, Width: 640, Height: 360}})
	for range 2 {
		media.Note(out, "no sound: there is no microphone")
	}
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.mu.Lock()
		fail, silent := c.fail, c.silent
		c.mu.Unlock()
		if fail != nil {
			return fail
		}
		if !silent {
			out.Write(&media.Frame{Codec: media.H264, PTS: time.Duration(i) * 40 * time.Millisecond, Key: i%25 == 0,
				Data: [][]byte{{0x65, byte(i)}}})
		}
	}
}

// sink keeps what it receives.
type sink struct {
	mu     sync.Mutex
	tracks int
	frames []*media.Frame
}

func (s *sink) Tracks([]media.Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracks++
}

func (s *sink) Write(f *media.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, f)
}

func (s *sink) got() []*media.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*media.Frame(nil), s.frames...)
}

func (s *sink) check(t *testing.T) {
	t.Helper()
	frames := s.got()
	if len(frames) == 0 {
		t.Fatal("no frame")
	}
	if !frames[0].Key {
		t.Error("the first frame is no key frame")
	}
	for i := 1; i < len(frames); i++ {
		if frames[i].PTS < frames[i-1].PTS {
			t.Errorf("frame %d: PTS went back from %v to %v", i, frames[i-1].PTS, frames[i].PTS)
		}
	}
}

// hub runs a hub over a camera in a bubble.
func hub(t *testing.T, o media.HubOptions, test func(h *media.Hub, c *camera)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &camera{}
		o.Source = c
		h := media.NewHub(o)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { h.Run(ctx) })
		test(h, c)
		cancel()
		wg.Wait()
	})
}

func TestHubRunsOnDemand(t *testing.T) {
	hub(t, media.HubOptions{Linger: 5 * time.Second}, func(h *media.Hub, c *camera) {
		time.Sleep(time.Minute)
		if c.started() != 0 {
			t.Errorf("the source ran %d times before anybody subscribed", c.started())
		}
		var a, b sink
		leaveA := h.Subscribe(&a)
		time.Sleep(2 * time.Second)
		leaveB := h.Subscribe(&b)
		time.Sleep(time.Second)
		a.check(t)
		b.check(t)
		if r := h.Report(); r.State != media.Running || r.Watchers != 2 || len(r.Notes) != 1 || r.Tracks[0].FPS < 24 ||
			r.Tracks[0].FPS > 26 {
			t.Errorf("report = %+v", r)
		}
		leaveA()
		leaveB()
		time.Sleep(4 * time.Second)
		if r := h.Report(); r.State != media.Running {
			t.Errorf("state before the linger is over = %s, want running", r.State)
		}
		time.Sleep(3 * time.Second)
		if r := h.Report(); r.State != media.Idle || c.started() != 1 {
			t.Errorf("state after the linger = %s after %d runs, want idle after 1", r.State, c.started())
		}
	})
}

func TestNewcomerGetsThePictureAtOnce(t *testing.T) {
	hub(t, media.HubOptions{}, func(h *media.Hub, c *camera) {
		var a, b sink
		defer h.Subscribe(&a)()
		time.Sleep(1500 * time.Millisecond) // in the middle of a GOP
		defer h.Subscribe(&b)()
		frames := b.got()
		if len(frames) < 5 || b.tracks != 1 {
			t.Fatalf("a newcomer got %d frames and %d tracks at once, want the GOP so far", len(frames), b.tracks)
		}
		b.check(t)
		all := a.got()
		if got, want := frames[len(frames)-1], all[len(all)-1]; got != want {
			t.Errorf("the newcomer's last frame is %v, want the live one %v", got.PTS, want.PTS)
		}
	})
}

func TestHubStartsAFailedSourceForEver(t *testing.T) {
	var waits []int
	o := media.HubOptions{Backoff: func(n int) time.Duration { waits = append(waits, n); return time.Second }}
	hub(t, o, func(h *media.Hub, c *camera) {
		var s sink
		defer h.Subscribe(&s)()
		time.Sleep(1990 * time.Millisecond) // not when a frame comes
		before := len(s.got())
		c.set(errors.New("connection refused"), false)
		time.Sleep(10 * time.Second)
		if r := h.Report(); r.State == media.Running || c.started() < 5 {
			t.Errorf("state %s after %d runs, want it failed and tried again each second", r.State, c.started())
		}
		c.set(nil, false)
		time.Sleep(3 * time.Second)
		if r := h.Report(); r.State != media.Running || r.Err != nil {
			t.Errorf("state after the camera came back = %s, %v", r.State, r.Err)
		}
		s.check(t)
		frames := s.got()
		gap := frames[before].PTS - frames[before-1].PTS
		if !frames[before].Key || gap < 9*time.Second || gap > 12*time.Second {
			t.Errorf("after the gap: key %v, %v later; want a key frame about as much later as the gap was long",
				frames[before].Key, gap)
		}
		if len(waits) < 5 || waits[0] != 1 || waits[4] != 5 {
			t.Errorf("backoff was asked for %v, want 1, 2, 3, ...", waits)
		}
	})
}

// wrongPassword is an error for which a quick retry does harm.
type wrongPassword struct{ error }

func (wrongPassword) Slow() bool { return true }

func TestHubTriesAWrongPasswordSeldom(t *testing.T) {
	hub(t, media.HubOptions{}, func(h *media.Hub, c *camera) {
		c.set(wrongPassword{errors.New("401")}, false)
		var s sink
		defer h.Subscribe(&s)()
		time.Sleep(20 * time.Second)
		if c.started() != 1 {
			t.Errorf("a wrong password was tried %d times in 20 s, want once", c.started())
		}
		time.Sleep(time.Hour)
		if n := c.started(); n < 10 || n > 20 {
			t.Errorf("a wrong password was tried %d times in an hour, want 10 to 20", n)
		}
	})
}

func TestHubStartsASilentSourceAnew(t *testing.T) {
	hub(t, media.HubOptions{}, func(h *media.Hub, c *camera) {
		var s sink
		defer h.Subscribe(&s)()
		time.Sleep(2 * time.Second)
		c.set(nil, true)
		time.Sleep(5 * time.Second)
		if r := h.Report(); r.State != media.Stalled {
			t.Errorf("state after 5 s of silence = %s, want stalled", r.State)
		}
		time.Sleep(7 * time.Second)
		c.set(nil, false)
		time.Sleep(3 * time.Second)
		if r := h.Report(); r.State != media.Running || r.Restarts != 1 {
			t.Errorf("then: %s after %d restarts, want running after 1", r.State, r.Restarts)
		}
		s.check(t)
	})
}

// seldom is a source that delivers a key frame now and then, and counts its starts.
type seldom struct {
	every time.Duration
	runs  atomic.Int32
}

func (s *seldom) Run(ctx context.Context, out media.Sink) error {
	s.runs.Add(1)
	out.Tracks([]media.Track{{Codec: media.H264}})
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for pts := time.Duration(0); ; pts += s.every {
		out.Write(&media.Frame{Codec: media.H264, PTS: pts, Key: true, Data: [][]byte{{0x65}}})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// A camera with one picture every ten seconds is not restarted again and again, nor called stalled between two
// pictures.
func TestHubFollowsThePaceOfASlowSource(t *testing.T) {
	for every, restarts := range map[time.Duration]bool{time.Second: false, 10200 * time.Millisecond: false,
		19 * time.Second: false, 2 * time.Minute: true} {
		synctest.Test(t, func(t *testing.T) {
			c := &seldom{every: every}
			h := media.NewHub(media.HubOptions{Source: c})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { h.Run(ctx) })
			var s sink
			leave := h.Subscribe(&s)
			time.Sleep(every + time.Second)
			stalled := 0
			for range 600 {
				time.Sleep(time.Second)
				if h.Report().State == media.Stalled {
					stalled++
				}
			}
			if n := c.runs.Load(); (n > 1) != restarts || !restarts && stalled > 0 {
				t.Errorf("a picture each %v: %d runs, stalled for %d s", every, n, stalled)
			}
			leave()
			cancel()
			wg.Wait()
		})
	}
}

func TestKeepWarm(t *testing.T) {
	hub(t, media.HubOptions{KeepWarm: true}, func(h *media.Hub, c *camera) {
		time.Sleep(time.Minute)
		if r := h.Report(); r.State != media.Running || c.started() != 1 {
			t.Errorf("state = %s after %d runs, want running without a subscriber", r.State, c.started())
		}
	})
}

// keyCamera counts the key frames that it is asked for.
type keyCamera struct {
	camera
	asked atomic.Int32
}

func (k *keyCamera) RequestKeyFrame() { k.asked.Add(1) }

func TestKeyFramesAreAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &keyCamera{}
		h := media.NewHub(media.HubOptions{Source: c})
		for range 100 { // ten viewers, ten requests a second each
			h.RequestKeyFrame()
			time.Sleep(10 * time.Millisecond)
		}
		if n := c.asked.Load(); n != 2 {
			t.Errorf("the source was asked %d times in a second, want 2", n)
		}
		media.NewHub(media.HubOptions{Source: &c.camera}).RequestKeyFrame() // one that cannot is not asked
	})
}

// TestHubTellsAFlappingSourceSeldom: a source that comes and goes all day is told a few times an hour, and a viewer who
// comes is no restart.
func TestHubTellsAFlappingSourceSeldom(t *testing.T) {
	var b text
	log := slog.New(slog.NewTextHandler(&b, nil))
	hub(t, media.HubOptions{Log: log}, func(h *media.Hub, c *camera) {
		leave := h.Subscribe(&sink{})
		time.Sleep(time.Minute)
		leave()
		time.Sleep(time.Minute)
		if r := h.Report(); r.State != media.Idle {
			t.Fatalf("%s without viewers", r.State)
		}
		defer h.Subscribe(&sink{})()
		time.Sleep(time.Minute)
		if r := h.Report(); r.Restarts != 0 {
			t.Errorf("%d restarts after a failure, and there was none", r.Restarts)
		}
		for range 2000 {
			c.set(errors.New("connection reset"), false)
			time.Sleep(2 * time.Second)
			c.set(nil, false)
			time.Sleep(10 * time.Second)
		}
		if n := strings.Count(b.String(), "\n"); n > 90 || n < 20 {
			t.Errorf("%d lines in seven hours", n)
		}
		time.Sleep(2 * time.Minute)
		if strings.LastIndex(b.String(), "source running") < strings.LastIndex(b.String(), "source failed") {
			t.Errorf("it has run for two minutes, and the log ends with a failure:\n%s", b.String())
		}
	})
}

// text is a log that a test may read at any time.
type text struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (t *text) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(line)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
