package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// audience is a viewer of one source that stays, and sees what the hub of that source gives it.
type audience struct {
	hub *media.Hub
	log transcript
	end func() // ends the hub

	began time.Time // when it came

	mu     sync.Mutex // guards the fields below
	tracks []media.Track
	frames []arrival
}

// arrival is a frame without its bytes.
type arrival struct {
	codec media.Codec
	pts   time.Duration
	at    time.Time
	key   bool
	units [][]byte // the first bytes of each NAL unit of a key frame
	bytes int
}

// watch plays a camera as the agent does, for one that watches to the end of the test.
func (c *fakeCamera) watch(t *testing.T, fit func(*rtsp.Options)) *audience {
	t.Helper()
	a := &audience{}
	o := rtsp.Options{URL: c.URL(), Log: slog.New(slog.NewTextHandler(&a.log, nil))}
	if fit != nil {
		fit(&o)
	}
	src, err := rtsp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.run(t, src)
	return a
}

// run runs a hub over a source, with the agent's own way to wait.
func (a *audience) run(t *testing.T, src media.Source) {
	t.Helper()
	a.began = time.Now()
	a.hub = media.NewHub(media.HubOptions{Source: src, Log: slog.New(slog.NewTextHandler(&a.log, nil)), Backoff: func(failures int) time.Duration {
		step := min(time.Second<<min(failures-1, 5), 30*time.Second)
		return step/4 + rand.N(step*3/4)
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { a.hub.Run(ctx) })
	leave := a.hub.Subscribe(a)
	a.end = sync.OnceFunc(func() { leave(); cancel(); wg.Wait() })
	t.Cleanup(func() {
		a.end()
		if t.Failed() {
			t.Logf("report %+v\nlog:\n%s", a.hub.Report(), tail(a.log.String()))
		}
	})
}

// Tracks implements media.Sink.
func (a *audience) Tracks(tracks []media.Track) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tracks = tracks
}

// Write implements media.Sink.
func (a *audience) Write(f *media.Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := arrival{codec: f.Codec, pts: f.PTS, at: time.Now(), key: f.Key, bytes: f.Size()}
	for _, nal := range f.Data {
		if f.Key {
			seen.units = append(seen.units, bytes.Clone(nal[:min(len(nal), 32)]))
		}
	}
	a.frames = append(a.frames, seen)
}

// of is what it has seen of a codec so far.
func (a *audience) of(c media.Codec) (seen []arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.frames {
		if f.codec == c {
			seen = append(seen, f)
		}
	}
	return seen
}

// size is what the last announcement says of the picture.
func (a *audience) size() (w, h int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tracks) == 0 {
		return 0, 0
	}
	return a.tracks[0].Width, a.tracks[0].Height
}

// sees waits until n more pictures have come, which must be soon enough.
func (a *audience) sees(t *testing.T, n int, within time.Duration) {
	t.Helper()
	before := len(a.of(media.H264))
	eventually(t, within, "more pictures", func() (bool, any) { return len(a.of(media.H264)) >= before+n, a.hub.Report() })
}

// state waits for a state of the source.
func (a *audience) state(t *testing.T, within time.Duration, want ...media.State) {
	t.Helper()
	eventually(t, within, "the source is "+string(want[0]), func() (bool, any) {
		r := a.hub.Report()
		for _, s := range want {
			if r.State == s {
				return true, r
			}
		}
		return false, r
	})
}

// fails waits until the report says why there is no picture.
func (a *audience) fails(t *testing.T, within time.Duration, why ...string) {
	t.Helper()
	eventually(t, within, "the report says "+strings.Join(why, " or "), func() (bool, any) {
		r := a.hub.Report()
		for _, w := range why {
			if r.Err != nil && strings.Contains(r.Err.Error(), w) {
				return true, r
			}
		}
		return false, r
	})
}

// steady checks that the times of no track went back, and that of the pictures goes with the clock.
func (a *audience) steady(t *testing.T) {
	t.Helper()
	for _, c := range []media.Codec{media.H264, media.PCMU} {
		seen := a.of(c)
		for i := range max(0, len(seen)-1) {
			if seen[i+1].pts < seen[i].pts {
				t.Errorf("%s: time goes back from %v to %v", c, seen[i].pts, seen[i+1].pts)
			}
		}
	}
	seen := a.of(media.H264)
	// On a busy machine the first pictures may come late and all at once: they were made after began all the same.
	first, last := seen[0], seen[len(seen)-1]
	lasted, least, most := last.pts-first.pts, last.at.Sub(first.at), last.at.Sub(a.began)
	if lasted < least-1500*time.Millisecond || lasted > most+1500*time.Millisecond {
		t.Errorf("by its times the picture has lasted %v, by the clock between %v and %v", lasted, least, most)
	}
	if !first.key {
		t.Error("the first picture is no key frame")
	}
}
