package rig

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

// Audience is a viewer of one source that stays, and sees what the hub of that source gives it.
type Audience struct {
	Hub *media.Hub
	Log Transcript
	end func() // ends the hub

	began time.Time // when it came

	mu     sync.Mutex // guards the fields below
	tracks []media.Track
	frames []Arrival
}

// Arrival is a frame without its bytes.
type Arrival struct {
	codec media.Codec
	Pts   time.Duration
	at    time.Time
	Key   bool
	units [][]byte // the first bytes of each NAL unit of a key frame
	Bytes int
}

// Watch plays a camera as the agent does, for one that watches to the end of the test.
func (c *FakeCamera) Watch(t testing.TB, fit func(*rtsp.Options)) *Audience {
	t.Helper()
	a := &Audience{}
	o := rtsp.Options{URL: c.URL(), Log: slog.New(slog.NewTextHandler(&a.Log, nil))}
	if fit != nil {
		fit(&o)
	}
	src, err := rtsp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.Run(t, src)
	return a
}

// Run runs a hub over a source, with the agent's own way to wait.
func (a *Audience) Run(t testing.TB, src media.Source) {
	t.Helper()
	a.began = time.Now()
	a.Hub = media.NewHub(media.HubOptions{Source: src, Log: slog.New(slog.NewTextHandler(&a.Log, nil)),
		Backoff: func(failures int) time.Duration {
			step := min(time.Second<<min(failures-1, 5), 30*time.Second)
			return step/4 + rand.N(step*3/4)
		}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { a.Hub.Run(ctx) })
	leave := a.Hub.Subscribe(a)
	a.end = sync.OnceFunc(func() { leave(); cancel(); wg.Wait() })
	t.Cleanup(func() {
		a.end()
		if t.Failed() {
			t.Logf("report %+v\nlog:\n%s", a.Hub.Report(), Tail(a.Log.String()))
		}
	})
}

// Tracks implements media.Sink.
func (a *Audience) Tracks(tracks []media.Track) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tracks = tracks
}

// Write implements media.Sink.
func (a *Audience) Write(f *media.Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := Arrival{codec: f.Codec, Pts: f.PTS, at: time.Now(), Key: f.Key, Bytes: f.Size()}
	for _, nal := range f.Data {
		if f.Key {
			seen.units = append(seen.units, bytes.Clone(nal[:min(len(nal), 32)]))
		}
	}
	a.frames = append(a.frames, seen)
}

// Of is what it has seen of a codec so far.
func (a *Audience) Of(c media.Codec) (seen []Arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.frames {
		if f.codec == c {
			seen = append(seen, f)
		}
	}
	return seen
}

// Size is what the last announcement says of the picture.
func (a *Audience) Size() (w, h int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tracks) == 0 {
		return 0, 0
	}
	return a.tracks[0].Width, a.tracks[0].Height
}

// Sees waits until n more pictures have come, which must be soon enough. On a machine where the first picture was slow,
// soon is later.
func (a *Audience) Sees(t testing.TB, n int, within time.Duration) {
	t.Helper()
	seen := a.Of(media.H264)
	if len(seen) > 0 {
		within = max(within, 4*seen[0].at.Sub(a.began))
	}
	Eventually(t, within, "more pictures", func() (bool, any) {
		return len(a.Of(media.H264)) >= len(seen)+n,
			a.Hub.Report()
	})
}

// State waits for a state of the source.
func (a *Audience) State(t testing.TB, within time.Duration, want ...media.State) {
	t.Helper()
	Eventually(t, within, "the source is "+string(want[0]), func() (bool, any) {
		r := a.Hub.Report()
		for _, s := range want {
			if r.State == s {
				return true, r
			}
		}
		return false, r
	})
}

// Fails waits until the report says why there is no picture.
func (a *Audience) Fails(t testing.TB, within time.Duration, why ...string) {
	t.Helper()
	Eventually(t, within, "the report says "+strings.Join(why, " or "), func() (bool, any) {
		r := a.Hub.Report()
		for _, w := range why {
			if r.Err != nil && strings.Contains(r.Err.Error(), w) {
				return true, r
			}
		}
		return false, r
	})
}

// Steady checks that the times of no track went back, and that of the pictures goes with the clock.
func (a *Audience) Steady(t testing.TB) {
	t.Helper()
	for _, c := range []media.Codec{media.H264, media.PCMU} {
		seen := a.Of(c)
		for i := range max(0, len(seen)-1) {
			if seen[i+1].Pts < seen[i].Pts {
				t.Errorf("%s: time goes back from %v to %v", c, seen[i].Pts, seen[i+1].Pts)
			}
		}
	}
	seen := a.Of(media.H264)
	// On a busy machine the first pictures may come late and all at once: they were made after began all the same.
	first, last := seen[0], seen[len(seen)-1]
	lasted, least, most := last.Pts-first.Pts, last.at.Sub(first.at), last.at.Sub(a.began)
	if lasted < least-1500*time.Millisecond || lasted > most+1500*time.Millisecond {
		t.Errorf("by its times the picture has lasted %v, by the clock between %v and %v", lasted, least, most)
	}
	if !first.Key {
		t.Error("the first picture is no key frame")
	}
}

// Begins checks that the last key frame begins with the parameter sets of a clip.
func (a *Audience) Begins(t testing.TB, c Clip) {
	t.Helper()
	sps, pps := c.sets()
	seen := a.Of(media.H264)
	for i := len(seen) - 1; i >= 0; i-- {
		if f := seen[i]; f.Key {
			if len(f.units) < 3 || !bytes.HasPrefix(sps, f.units[0]) || !bytes.HasPrefix(pps, f.units[1]) {
				t.Errorf("the last key frame begins with %x", f.units)
			}
			return
		}
	}
	t.Error("no key frame")
}
