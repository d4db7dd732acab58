package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/slate"
	"github.com/kvsagent/kvsagent/peer"
)

// distant is a camera that a test switches off and on. Its pictures are those of a slate, of the other kind than what
// is shown in its place, so that there are real ones of every codec.
type distant struct {
	codec    media.Codec
	pictures [2]*media.Frame // a key frame, and one that follows upon it

	mu  sync.Mutex // guards the field below
	off bool
}

func newDistant(t *testing.T, codec media.Codec) *distant {
	t.Helper()
	c := newCollector()
	ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
	defer cancel()
	if err := slate.New(slate.Options{Kind: slate.Private, Codec: codec, Size: image.Pt(320, 180)}).Run(ctx,
		c); err != nil || len(c.frames) != 2 {
		t.Fatalf("%d pictures, %v", len(c.frames), err)
	}
	return &distant{codec: codec, pictures: [2]*media.Frame(c.frames)}
}

// noAnswer is the error of a camera that is off.
type noAnswer struct{ error }

func (noAnswer) Away() bool { return true }

func (d *distant) Run(ctx context.Context, out media.Sink) error {
	const fps = 5
	tick := time.NewTicker(time.Second / fps)
	defer tick.Stop()
	for n := 0; ; n++ {
		if d.isOff() {
			return noAnswer{errors.New("connection refused")}
		}
		if n == 0 {
			out.Tracks([]media.Track{{Codec: d.codec, Width: 320, Height: 180}})
		}
		f := *d.pictures[min(n%fps, 1)]
		f.PTS, f.Captured = time.Duration(n)*time.Second/fps, time.Now()
		out.Write(&f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *distant) isOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

func (d *distant) turn(off bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = off
}

// shows says whether a frame that came over the network is a key frame of the camera. What went around it on the way
// may be left out.
func (d *distant) shows(f *media.Frame) bool {
	return f.Key && bytes.HasSuffix(slices.Concat(f.Data...), tail(d.pictures[0]))
}

func tail(f *media.Frame) []byte {
	last := f.Data[len(f.Data)-1]
	return last[len(last)/2:]
}

// A camera is away for an hour, or in the rarer codecs for minutes, and returns. Who stayed has seen the slate
// meanwhile, and sees the camera's picture within 3 s of its answer: in the connection that he had, without a new
// offer, on a time line without a jump.
func TestCameraAway(t *testing.T) {
	for codec, away := range map[media.Codec]time.Duration{
		media.H264: time.Hour, media.H265: 5 * time.Minute, media.VP8: 5 * time.Minute, media.VP9: 5 * time.Minute,
		media.AV1: 5 * time.Minute,
	} {
		t.Run(string(codec), func(t *testing.T) {
			camera := newDistant(t, codec)
			offers := 0
			count := func(s peer.Signal, deliver func(peer.Signal)) {
				if _, ok := s.(peer.Offer); ok {
					offers++
				}
				deliver(s)
			}
			o := callOptions{source: camera, toMaster: count, toViewer: count,
				standby: func(tracks []media.Track) media.Source {
					return slate.Like(slate.Offline, tracks)
				}}
			inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
				c.got.wait(t, codec, 20)
				before := c.got.count(codec)
				camera.turn(true)
				time.Sleep(away)
				slates := c.got.count(codec) - before
				if want := int(2 * away.Seconds()); slates < want-10 || slates > want+10 {
					t.Errorf("%d pictures in %v, want the %d of the slate", slates, away, want)
				}
				camera.turn(false)
				answered := time.Now()
				time.Sleep(10 * time.Second)
				synctest.Wait()

				c.got.mu.Lock()
				defer c.got.mu.Unlock()
				line := c.got.frames
				checkLine(t, line)
				middle := line[before+10 : before+slates]
				if slices.ContainsFunc(middle, camera.shows) ||
					!slices.ContainsFunc(middle, func(f *media.Frame) bool { return f.Key }) {
					t.Error("while it was away the viewer saw the camera, or no slate")
				}
				back := slices.IndexFunc(line[before+slates:], camera.shows)
				if back < 0 {
					t.Fatal("the camera's picture is not back after 10 s")
				}
				if took := line[before+slates+back].Captured.Sub(answered); took > 3*time.Second {
					t.Errorf("the picture is back after %v, want 3 s", took)
				}
				if offers != 1 || len(c.masterDone)+len(c.viewerDone) != 0 {
					t.Errorf("%d offers, want 1; %d and %d sides have ended", offers, len(c.masterDone),
						len(c.viewerDone))
				}
			})
		})
	}
}

// checkLine fails the test when the times of frames do not go on as those did when the frames came.
func checkLine(t *testing.T, line []*media.Frame) {
	t.Helper()
	for i, f := range line[1:] {
		before := line[i]
		if f.Codec != before.Codec {
			t.Fatalf("frame %d: %s after %s", i+1, f.Codec, before.Codec)
		}
		if step := f.PTS - before.PTS; step <= 0 || step > time.Second {
			t.Errorf("frame %d is %v after the one before", i+1, step)
		}
		if drift := (f.PTS - line[0].PTS) - f.Captured.Sub(line[0].Captured); drift.Abs() > time.Second {
			t.Fatalf("frame %d is %v ahead of when it came", i+1, drift)
		}
	}
}

// TestTURNPasswordIsRefused: in the middle of a session the TURN server takes the password no more by which both sides
// have their relays. The relays last as long as they were granted for; then the session moves to new ones, with the
// password of the day.
func TestTURNPasswordIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		w.start()
		var day atomic.Int32
		user := func() string { return fmt.Sprint("day-", day.Load()) }
		c := begin(t, m, v, callOptions{turn: true, relayOnly: true, turnUser: user})
		c.plays(20)
		old := user()
		day.Add(1)
		w.refused.Store(&old)
		asked := func(user string) int32 {
			n, ok := w.asked.Load(user)
			if !ok {
				return 0
			}
			return n.(*atomic.Int32).Load()
		}
		before := asked(old)
		began, longest := time.Now(), time.Duration(0)
		for time.Since(began) < 20*time.Minute { // a relay is granted for ten
			longest = max(longest, c.plays(1))
		}
		if longest > 45*time.Second {
			t.Errorf("no picture for %v", longest)
		}
		if asked(old) == before || asked(user()) == 0 {
			t.Errorf("the fault was not there: the old password was refused %d times, the new one asked for %d times",
				asked(old)-before, asked(user()))
		}
		t.Logf("no picture for %v at most; %d refusals", longest, asked(old)-before)
		if r := c.master.Report(); r.State != peer.Connected || r.Local != "relay" {
			t.Errorf("the master's side is %s over %s", r.State, r.Local)
		}
	})
}
