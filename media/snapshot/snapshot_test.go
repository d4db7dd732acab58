package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/pipe"
	"github.com/kvsagent/kvsagent/media/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// camera is a source with a key frame each second; the nth one contains n.
type camera struct {
	first time.Duration // until the first frame
	runs  int           // of a bubble, where nobody looks while it runs
	asked int
	blind bool // audio only
}

func (c *camera) RequestKeyFrame() { c.asked++ }

func (c *camera) Run(ctx context.Context, out media.Sink) error {
	c.runs++
	tracks := []media.Track{{Codec: media.Opus}, {Codec: media.H264}}
	if c.blind {
		tracks = tracks[:1]
	}
	out.Tracks(tracks)
	step := c.first
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(step):
		}
		step = 100 * time.Millisecond
		at := time.Duration(n) * step
		out.Write(&media.Frame{Codec: media.Opus, PTS: at, Data: [][]byte{{1}}})
		if c.blind {
			continue
		}
		out.Write(&media.Frame{Codec: media.H264, PTS: at, Key: n%10 == 0,
			Data: [][]byte{{0x67}, {0x68}, {0x65, byte(n / 10)}}})
	}
}

// inBubble runs a test with a hub whose time costs nothing.
func inBubble(t *testing.T, c *camera, warm bool, test func(t *testing.T, hub *media.Hub)) {
	synctest.Test(t, func(t *testing.T) {
		hub := media.NewHub(media.HubOptions{Source: c, KeepWarm: warm, Linger: 5 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { hub.Run(ctx) })
		synctest.Wait()
		test(t, hub)
		cancel()
		wg.Wait()
	})
}

// A picture of a running camera takes no time: it is the newest key frame, the same for all requests before the next
// one.
func TestOfRunning(t *testing.T) {
	c := &camera{first: time.Second}
	inBubble(t, c, true, func(t *testing.T, hub *media.Hub) {
		time.Sleep(2950 * time.Millisecond) // the second key frame came at 2 s
		began := time.Now()
		f, err := snapshot.Of(t.Context(), hub)
		g, err2 := snapshot.Of(t.Context(), hub)
		if err != nil || err2 != nil || f != g || f.Data[2][1] != 1 || time.Since(began) != 0 || c.asked != 0 {
			t.Errorf("%v, %v, %v after %v, %d key frames asked for", f, err, err2, time.Since(began), c.asked)
		}
		time.Sleep(100 * time.Millisecond)
		if g, err = snapshot.Of(t.Context(), hub); err != nil || g.Data[2][1] != 2 {
			t.Errorf("after the next key frame: %v, %v", g, err)
		}
		if n := hub.Report().Watchers; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// An idle camera is started, runs for a while, and then stops.
func TestOfIdle(t *testing.T) {
	c := &camera{first: 3 * time.Second}
	inBubble(t, c, false, func(t *testing.T, hub *media.Hub) {
		began := time.Now()
		for range 2 {
			if f, err := snapshot.Of(t.Context(), hub); err != nil || !f.Key || f.Codec != media.H264 {
				t.Errorf("%v, %v", f, err)
			}
		}
		if d := time.Since(began); d != 3*time.Second || c.runs != 1 {
			t.Errorf("two pictures after %v and %d runs, want 3s and one run", d, c.runs)
		}
		time.Sleep(4 * time.Second)
		if s := hub.Report().State; s != media.Running {
			t.Errorf("after 4 s: %s", s)
		}
		time.Sleep(3 * time.Second)
		if s := hub.Report().State; s != media.Idle {
			t.Errorf("after 7 s: %s", s)
		}
	})
}

func TestOfNothing(t *testing.T) {
	inBubble(t, &camera{first: time.Minute}, false, func(t *testing.T, hub *media.Hub) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if f, err := snapshot.Of(ctx, hub); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", f, err)
		}
		if n := hub.Report().Watchers; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

func TestOfSoundAlone(t *testing.T) {
	inBubble(t, &camera{blind: true}, false, func(t *testing.T, hub *media.Hub) {
		if f, err := snapshot.Of(t.Context(), hub); !errors.Is(err, snapshot.ErrNoVideo) {
			t.Errorf("%v, %v", f, err)
		}
	})
}

func TestFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &camera{first: time.Second}
		if f, err := snapshot.From(t.Context(), c); err != nil || f.Data[2][1] != 0 {
			t.Errorf("%v, %v", f, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if f, err := snapshot.From(ctx, c); err == nil {
			t.Errorf("of a source that ended: %v", f)
		}
	})
}

// clips are encoders of a picture whose left half is red and whose right half is blue.
var clips = map[media.Codec][]string{
	media.H264: strings.Fields("-c:v libx264 -preset ultrafast -bf 0 -f h264 -"),
	media.H265: strings.Fields("-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=0 -f hevc -"),
	media.VP8:  strings.Fields("-c:v libvpx -deadline realtime -cpu-used 8 -f ivf -"),
	media.VP9:  strings.Fields("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -f ivf -"),
	media.AV1:  strings.Fields("-c:v libsvtav1 -preset 12 -f ivf -"),
}

// key returns a key frame of a codec.
func key(t *testing.T, codec media.Codec) *media.Frame {
	t.Helper()
	args := slices.Concat(strings.Fields("ffmpeg -nostdin -v error -f lavfi -i color=red:s=160x240:d=0.1 -f lavfi -i "+
		"color=blue:s=160x240:d=0.1"),
		strings.Fields("-filter_complex hstack -frames:v 2 -pix_fmt yuv420p"), clips[codec])
	src, err := pipe.New(pipe.Options{Command: pipe.Line(args...), Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	f, err := snapshot.From(ctx, src)
	if err != nil {
		t.Fatalf("ffmpeg with encoders (a test needs it: apt-get install ffmpeg): %v", err)
	}
	return f
}

// Every codec's key frame becomes a JPEG that a decoder which is not ours shows, from the very bytes that a user gets.
func TestJPEG(t *testing.T) {
	d := snapshot.NewDecoder("ffmpeg", 1, discard)
	for codec := range clips {
		t.Run(string(codec), func(t *testing.T) {
			f := key(t, codec)
			b, err := snapshot.NewCamera().JPEG(t.Context(), d, f)
			if err != nil {
				t.Fatal(err)
			}
			img, err := jpeg.Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if img.Bounds() != image.Rect(0, 0, 320, 240) {
				t.Fatalf("%v", img.Bounds())
			}
			for x, want := range map[int][3]uint32{80: {255, 0, 0}, 240: {0, 0, 255}} {
				r, g, b, _ := img.At(x, 120).RGBA()
				for i, got := range []uint32{r >> 8, g >> 8, b >> 8} {
					if got+40 < want[i] || got > want[i]+40 {
						t.Errorf("at %d: %d %d %d, want %v", x, r>>8, g>>8, b>>8, want)
						break
					}
				}
			}
		})
	}
}

// script returns a program in the place of ffmpeg.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "decoder")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// However many requests there are, one process at a time makes one picture of each key frame.
func TestJPEGIsMadeOnce(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	program := script(t, "cat >/dev/null; echo begin >>"+log+"; sleep 0.05; echo end >>"+log+"; echo picture")
	d, c, other := snapshot.NewDecoder(program, 1, discard), snapshot.NewCamera(), snapshot.NewCamera()
	f := &media.Frame{Codec: media.H264, Key: true, Data: [][]byte{{0x65}}}
	next := &media.Frame{Codec: media.H264, Key: true, Data: [][]byte{{0x65}}}
	ask := func(f *media.Frame) {
		var wg sync.WaitGroup
		for range 8 {
			for _, c := range []*snapshot.Camera{c, other} {
				wg.Go(func() {
					if b, err := c.JPEG(t.Context(), d, f); err != nil || string(b) != "picture\n" {
						t.Errorf("%q, %v", b, err)
					}
				})
			}
		}
		wg.Wait()
	}
	ask(f)
	ask(next)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("begin\nend\n", 4); string(b) != want {
		t.Errorf("runs:\n%swant\n%s", b, want)
	}
}

func TestJPEGFails(t *testing.T) {
	f := &media.Frame{Codec: media.H264, Key: true, Data: [][]byte{{0x65}}}
	for name, tt := range map[string]struct {
		program, want string
		is            error
	}{
		"not there":    {"no-such-decoder", "not installed", snapshot.ErrNoDecoder},
		"says nothing": {script(t, "cat >/dev/null"), "no picture in the key frame", nil},
		"fails":        {script(t, "cat >/dev/null; echo broken >&2; exit 1"), "broken", nil},
		"real one":     {"ffmpeg", "exit status 1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := snapshot.NewCamera().JPEG(t.Context(), snapshot.NewDecoder(tt.program, 1, discard), f)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%q, %v, want %q", b, err, tt.want)
			}
		})
	}
}

// A decoder that hangs costs its own requests, and those after them find a turn.
func TestJPEGHangs(t *testing.T) {
	d, c := snapshot.NewDecoder(script(t, "sleep 100"), 1, discard), snapshot.NewCamera()
	f := &media.Frame{Codec: media.H264, Key: true, Data: [][]byte{{0x65}}}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		if b, err := c.JPEG(ctx, d, f); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 8*time.Second {
			t.Errorf("%q, %v after %v", b, err, time.Since(began))
		}
		cancel()
	}
}
