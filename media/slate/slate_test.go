package slate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/slate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mediatest.Source(t, func(t *testing.T) media.Source { return slate.New(slate.Options{}) })
	})
}

// recorder keeps the frames of a source.
type recorder struct {
	mu     sync.Mutex
	tracks []media.Track
	frames []*media.Frame
}

func (r *recorder) Tracks(t []media.Track) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = t
}

func (r *recorder) Write(f *media.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
}

// stream returns the frames as a byte stream.
func (r *recorder) stream() []byte {
	var b []byte
	for _, f := range r.frames {
		for _, nal := range f.Data {
			b = append(append(b, 0, 0, 0, 1), nal...)
		}
	}
	return b
}

// An independent decoder shows words: light dots in the middle of a dark picture, at the requested size, in every
// frame.
func TestPicture(t *testing.T) {
	for _, tt := range []struct {
		kind       slate.Kind
		size, want image.Point
	}{
		{slate.Offline, image.Point{}, image.Pt(1280, 720)},
		{slate.Offline, image.Pt(640, 360), image.Pt(640, 360)},
		{slate.Private, image.Pt(704, 577), image.Pt(704, 576)},
		{slate.Offline, image.Pt(160, 120), image.Pt(320, 180)},
		{slate.Private, image.Pt(3840, 2160), image.Pt(1920, 1080)},
		{slate.Offline, image.Pt(720, 1280), image.Pt(720, 1080)},
	} {
		r := run(t, slate.Options{Kind: tt.kind, Size: tt.size})
		if size := image.Pt(r.tracks[0].Width, r.tracks[0].Height); size != tt.want {
			t.Errorf("%v: %v, want %v", tt.size, size, tt.want)
		}
		checkPixels(t, fmt.Sprint(tt.kind, tt.size), decode(t, "h264", r.stream()), tt.want)
	}
}

// decode makes gray pictures of a stream of a format that ffmpeg knows.
func decode(t *testing.T, format string, stream []byte) []byte {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", format, "-i", "-", "-vf", "extractplanes=y", "-f",
		"rawvideo", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stream), &out, &problems
	if err := cmd.Run(); err != nil || problems.Len() > 0 {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v\n%s", err, problems.String())
	}
	return out.Bytes()
}

func checkPixels(t *testing.T, name string, luma []byte, size image.Point) {
	t.Helper()
	n := size.X * size.Y
	if len(luma) != 4*n {
		t.Fatalf("%s: %d pictures, want 4", name, len(luma)/n)
	}
	light, box := 0, image.Rectangle{}
	for i, y := range luma[:n] {
		if y > 200 {
			at := image.Pt(i%size.X, i/size.X)
			light++
			box = box.Union(image.Rectangle{at, at.Add(image.Pt(1, 1))})
		}
	}
	if share := light * 1000 / n; share < 5 || share > 200 {
		t.Errorf("%s: %d per mille of the picture are words", name, share)
	}
	middle := box.Min.Add(box.Max).Div(2)
	if d := middle.X - size.X/2; d < -20 || d > 20 || box.Dx() < size.X/5 || box.Dx() > size.X*9/10 ||
		box.Min.Y < size.Y/10 {
		t.Errorf("%s: the words are in %v of %v", name, box, size)
	}
	if bytes.Equal(luma[:n], luma[n:2*n]) {
		t.Errorf("%s: nothing moves", name)
	}
}

// camera is a source with audio that a test can inspect.
type camera struct {
	codec media.Codec
	mu    sync.Mutex
	runs  int
	live  bool
	fail  error
}

func (c *camera) Run(ctx context.Context, out media.Sink) error {
	c.set(true)
	defer c.set(false)
	out.Tracks([]media.Track{{Codec: c.codec, Width: 640, Height: 360}, {Codec: media.Opus}})
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if c.fail != nil {
			return c.fail
		}
		out.Write(&media.Frame{Codec: c.codec, PTS: time.Duration(i) * 40 * time.Millisecond, Key: i%25 == 0,
			Data: [][]byte{{0x65, byte(i)}}})
	}
}

func (c *camera) set(live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = live
	if live {
		c.runs++
	}
}

func (c *camera) isLive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

// While the switch is on, the camera does not run and the slate does, at the camera's size and with its audio track
// still announced, on one timeline.
func TestPrivacy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "privacy")
	synctest.Test(t, func(t *testing.T) {
		c, r := &camera{codec: media.H264}, &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := slate.Privacy(c, slate.Switch{File: file}, slog.New(slog.DiscardHandler)).Run(ctx,
				r); err != nil {
				t.Error(err)
			}
		})
		flip := func(on bool) {
			var err error
			if on {
				err = os.WriteFile(file, nil, 0o600)
			} else {
				err = os.Remove(file)
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(700 * time.Millisecond)
			if c.isLive() == on {
				t.Errorf("the camera runs: %t, privacy: %t", c.isLive(), on)
			}
		}
		time.Sleep(time.Second)
		flip(true)
		time.Sleep(time.Minute)
		r.mu.Lock()
		if len(r.tracks) != 2 || r.tracks[0].Width != 640 || r.tracks[0].SPS == nil || r.tracks[1].Codec != media.Opus {
			t.Errorf("tracks of the slate: %+v", r.tracks)
		}
		r.mu.Unlock()
		flip(false)
		flip(true)
		time.Sleep(time.Second)
		flip(false)
		cancel()
		wg.Wait()
		if c.runs != 3 {
			t.Errorf("%d runs, want 3", c.runs)
		}
		for i, f := range r.frames[1:] {
			if step := f.PTS - r.frames[i].PTS; step < 0 || step > 600*time.Millisecond {
				t.Errorf("frame %d is %v after the one before", i+1, step)
			}
		}
	})
}

// The error of the camera comes through.
func TestPrivacyErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		p := slate.Privacy(&camera{codec: media.H264, fail: refused}, slate.Switch{}, slog.New(slog.DiscardHandler))
		if err := p.Run(t.Context(), &recorder{}); !errors.Is(err, refused) {
			t.Error(err)
		}
	})
}

// Viewers of whatever codec see the slate in it, and one that was closed before the source ever ran is H.264.
func TestPrivacyCodecs(t *testing.T) {
	for _, codec := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1} {
		synctest.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "privacy")
			c, r := &camera{codec: codec}, &recorder{}
			p := slate.Privacy(c, slate.Switch{File: file}, slog.New(slog.DiscardHandler))
			closed := func(want media.Codec) {
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				n, runs := len(r.frames), c.runs
				ctx, cancel := context.WithTimeout(t.Context(), 9900*time.Millisecond)
				defer cancel()
				if err := p.Run(ctx, r); err != nil || len(r.frames) != n+20 || r.frames[n].Codec != want ||
					!r.frames[n].Key || c.runs != runs {
					t.Errorf("%s: %v, %d pictures of the slate in 9.9 s, want 20 in %s; the camera ran %d times", codec,
						err, len(r.frames)-n, want, c.runs-runs)
				}
			}
			closed(media.H264)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = p.Run(ctx, r)
			closed(codec)
		})
	}
}
