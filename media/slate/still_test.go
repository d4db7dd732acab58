package slate_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"image"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/slate"
)

var update = flag.Bool("update", false, "encode the stills anew, with ffmpeg")

// encoders is how the stills are made: two pictures, none kept back or hidden, in the profile that every decoder knows.
// Made with ffmpeg 5.1, libx265 3.5, libvpx 1.12 and libaom 3.6.
var encoders = map[media.Codec]string{
	media.H265: "-c:v libx265 -preset slow -crf 24 -profile:v main -x265-params " +
		"log-level=error:info=0:bframes=0:keyint=2:repeat-headers=1 -f hevc",
	media.VP8: "-c:v libvpx -crf 20 -b:v 4M -lag-in-frames 0 -auto-alt-ref 0 -quality good -cpu-used 0 -f ivf",
	media.VP9: "-c:v libvpx-vp9 -crf 28 -b:v 0 -lag-in-frames 0 -auto-alt-ref 0 -quality good -cpu-used 0 -f ivf",
	media.AV1: "-c:v libaom-av1 -crf 28 -b:v 0 -lag-in-frames 0 -auto-alt-ref 0 -cpu-used 4 -f ivf",
}

const largest = 4 << 10 // bytes of a still

func encode(t *testing.T, kind slate.Kind, size image.Point, codec media.Codec) {
	t.Helper()
	with, without := slate.Drawing(kind, size)
	line := fmt.Sprintf("-v error -y -f rawvideo -pix_fmt yuv420p -video_size %dx%d -framerate 2 -i - %s -fflags "+
		"+bitexact -flags:v +bitexact %s",
		size.X, size.Y, encoders[codec], slate.StillFile(kind, size, codec))
	cmd := exec.Command("ffmpeg", strings.Fields(line)...)
	cmd.Stdin = bytes.NewReader(append(with, without...))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", codec, err, out)
	}
}

// An independent decoder shows the words of every still, in every pass, and something moves.
func TestStills(t *testing.T) {
	for codec := range encoders {
		for _, kind := range []slate.Kind{slate.Offline, slate.Private} {
			for _, size := range slate.Shapes {
				t.Run(slate.StillFile(kind, size, codec), func(t *testing.T) {
					if *update {
						encode(t, kind, size, codec)
						return // the embedded file is still the previous one
					}
					checkStill(t, kind, size, codec)
				})
			}
		}
	}
}

func checkStill(t *testing.T, kind slate.Kind, size image.Point, codec media.Codec) {
	r := run(t, slate.Options{Kind: kind, Codec: codec, Size: size.Div(2)})
	if len(r.tracks) != 1 || r.tracks[0].Codec != codec || r.tracks[0].Width != size.X || r.tracks[0].Height != size.Y {
		t.Errorf("tracks %+v", r.tracks)
	}
	checkPixels(t, string(codec), r.decode(t), size)
	if file, err := os.Stat(slate.StillFile(kind, size, codec)); err != nil || file.Size() > largest {
		t.Errorf("%v; want at most %d bytes", err, largest)
	}
}

// A still has about the shape of the source, whose size may not be known.
func TestShapes(t *testing.T) {
	for size, want := range map[image.Point]image.Point{
		{}: image.Pt(1280, 720), {X: 3840, Y: 2160}: image.Pt(1280, 720), {X: 640, Y: 360}: image.Pt(1280, 720),
		{X: 2560, Y: 720}: image.Pt(1280, 720),
		{X: 640, Y: 480}:  image.Pt(960, 720), {X: 704, Y: 576}: image.Pt(960, 720),
		{X: 1080, Y: 1920}: image.Pt(720, 1280),
	} {
		r := run(t, slate.Options{Codec: media.VP8, Size: size})
		if have := image.Pt(r.tracks[0].Width, r.tracks[0].Height); have != want {
			t.Errorf("%v: %v, want %v", size, have, want)
		}
	}
}

func TestStillSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mediatest.Source(t, func(t *testing.T) media.Source { return slate.New(slate.Options{Codec: media.VP8}) })
	})
}

// A missing still is an error that says so.
func TestNoStill(t *testing.T) {
	for _, o := range []slate.Options{{Codec: media.Opus}, {Codec: media.VP8, Kind: "closed"}} {
		err := slate.New(o).Run(t.Context(), &recorder{})
		if err == nil || !strings.Contains(err.Error(), string(o.Codec)) {
			t.Errorf("%v: %v", o, err)
		}
	}
}

// run returns the first two seconds of a slate.
func run(t *testing.T, o slate.Options) *recorder {
	t.Helper()
	r := &recorder{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1900*time.Millisecond)
		defer cancel()
		if err := slate.New(o).Run(ctx, r); err != nil {
			t.Error(err)
		}
	})
	if len(r.frames) != 4 || !r.frames[0].Key || r.frames[1].Key || !r.frames[2].Key || r.frames[3].Key {
		t.Fatalf("%d frames in 1.9 s, want 4, each second of them a key frame", len(r.frames))
	}
	return r
}

// ivf returns the frames as an IVF file.
func (r *recorder) ivf() []byte {
	le := binary.LittleEndian
	b := append([]byte("DKIF\x00\x00\x20\x00"),
		map[media.Codec]string{media.VP8: "VP80", media.VP9: "VP90", media.AV1: "AV01"}[r.tracks[0].Codec]...)
	b = le.AppendUint16(le.AppendUint16(b, uint16(r.tracks[0].Width)), uint16(r.tracks[0].Height))
	b = append(le.AppendUint32(le.AppendUint32(b, 2), 1), make([]byte, 8)...)
	for i, f := range r.frames {
		b = le.AppendUint64(le.AppendUint32(b, uint32(f.Size())), uint64(i))
		b = append(b, f.Data[0]...)
	}
	return b
}

// gone is a camera that delivers a second of pictures each time, and then does not answer for a minute.
type gone struct {
	codec media.Codec
	until time.Time
}

func (g *gone) Run(ctx context.Context, out media.Sink) error {
	if time.Now().Before(g.until) {
		return errors.New("connection refused")
	}
	out.Tracks([]media.Track{{Codec: g.codec, Width: 640, Height: 480}, {Codec: media.Opus}})
	for i := range 10 {
		out.Write(&media.Frame{Codec: g.codec, PTS: time.Duration(i) * 100 * time.Millisecond, Key: i == 0,
			Data: [][]byte{[]byte("camera")}})
		time.Sleep(100 * time.Millisecond)
	}
	g.until = time.Now().Add(time.Minute)
	return errors.New("connection reset")
}

// Whatever the codec of a source, connected viewers see a slate that their decoder supports, and the picture again when
// it is back. Viewers that join meanwhile see the slate at once.
func TestStandby(t *testing.T) {
	for _, codec := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1} {
		stayed, late := &recorder{}, &recorder{}
		synctest.Test(t, func(t *testing.T) {
			h := media.NewHub(media.HubOptions{Source: &gone{codec: codec},
				Standby: func(tracks []media.Track) media.Source { return slate.Like(slate.Offline, tracks) }})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { h.Run(ctx) })
			defer h.Subscribe(stayed)()
			time.Sleep(30 * time.Second)
			defer h.Subscribe(late)()
			late.mu.Lock()
			if len(late.frames) == 0 || !late.frames[0].Key {
				t.Errorf("%s: a newcomer sees nothing of the slate", codec)
			}
			late.mu.Unlock()
			time.Sleep(31500 * time.Millisecond) // it is back after 61 s
			cancel()
			wg.Wait()
		})
		camera := func(f *media.Frame) bool { return string(f.Data[0]) == "camera" }
		last := len(stayed.frames) - 1
		if !camera(stayed.frames[0]) || !camera(stayed.frames[last]) {
			t.Errorf("%s: the camera's picture is not the first and the last", codec)
		}
		for _, r := range []*recorder{stayed, late} {
			r.frames = slices.DeleteFunc(r.frames, camera)
			for _, f := range r.frames {
				if f.Codec != codec {
					t.Fatalf("a slate in %s, want %s", f.Codec, codec)
				}
			}
			if n := len(r.frames); n < 60 || n > 125 || !r.frames[0].Key {
				t.Fatalf("%s: %d pictures of the slate", codec, n)
			}
			r.frames = r.frames[:4]
			r.tracks = []media.Track{{Codec: codec, Width: 960, Height: 720}}
			size := image.Pt(960, 720)
			if codec == media.H264 {
				size = image.Pt(640, 480)
			}
			checkPixels(t, string(codec), r.decode(t), size)
		}
	}
}

// decode makes gray pictures of the frames.
func (r *recorder) decode(t *testing.T) []byte {
	t.Helper()
	switch r.tracks[0].Codec {
	case media.H264:
		return decode(t, "h264", r.stream())
	case media.H265:
		return decode(t, "hevc", r.stream())
	}
	return decode(t, "ivf", r.ivf())
}
