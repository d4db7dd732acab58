package testpattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"os/exec"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

var begin = time.Date(2026, 11, 25, 23, 59, 58, 0, time.FixedZone("", 3600))

// film is n pictures of the pattern as an Annex B stream, and the pixels that the encoder thinks decoders make of them.
func film(t *testing.T, opts Options, n int) (frames []*media.Frame, pixels []byte) {
	t.Helper()
	v, err := newVideo(opts.fill())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		pts := time.Duration(i) * time.Second / time.Duration(opts.Rate)
		frames = append(frames, v.frame(int64(i), pts, begin.Add(pts)))
		pixels = append(pixels, v.encoder.Recon().I420()...)
	}
	return frames, pixels
}

func annexB(frames []*media.Frame) (stream []byte) {
	for _, f := range frames {
		for _, unit := range f.Data {
			stream = append(append(stream, 0, 0, 0, 1), unit...)
		}
	}
	return stream
}

// run runs a program on input. It must succeed and complain of nothing.
func run(t *testing.T, input []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	return stdout.Bytes()
}

func decode(t *testing.T, stream []byte) []byte {
	t.Helper()
	return run(t, stream, "ffmpeg", "-nostdin", "-loglevel", "warning", "-err_detect", "explode", "-xerror",
		"-f", "h264", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "pipe:1")
}

// TestPicture checks with ffmpeg that decoders show exactly the encoder's reconstruction, from each key frame on, and
// that the frame number can be read from it.
func TestPicture(t *testing.T) {
	for _, opts := range []Options{
		{Size: image.Pt(320, 180), Rate: 30, GOP: 2 * time.Second},
		{Size: image.Pt(640, 360), Rate: 15, GOP: time.Second},
		{Size: image.Pt(322, 242), Rate: 7, GOP: 3 * time.Second},
		{Size: image.Pt(360, 640), Rate: 120, GOP: time.Minute},
		{Size: image.Pt(642, 362), Rate: 25, GOP: time.Nanosecond},
		{Size: image.Pt(1280, 720), Rate: 30, GOP: 2 * time.Second},
	} {
		t.Run(fmt.Sprintf("%dx%d@%d", opts.Size.X, opts.Size.Y, opts.Rate), func(t *testing.T) {
			n := 200
			if opts.Size.X >= 1280 {
				n = 70 // more would be much memory
			}
			frames, want := film(t, opts, n)
			got := decode(t, annexB(frames))
			same(t, got, want)

			size := len(want) / n
			last := 0
			for i, f := range frames {
				if f.Key {
					last = i
				}
				luma := got[i*size:][:opts.Size.X*opts.Size.Y]
				if number, ok := FrameNumber(luma, opts.Size.X); number != i || !ok {
					t.Fatalf("the frame number of picture %d reads %d, %t", i, number, ok)
				}
				if i > 0 && bytes.Equal(got[i*size:][:size], got[(i-1)*size:][:size]) {
					t.Errorf("picture %d is the same as the one before", i)
				}
			}
			same(t, decode(t, annexB(frames[last:])), want[last*size:])
		})
	}
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("ffmpeg decoded %d bytes, want %d", len(got), len(want))
	}
	if bytes.Equal(got, want) {
		return
	}
	for i, v := range want {
		if got[i] != v {
			t.Fatalf("ffmpeg decoded %d as byte %d, want %d", got[i], i, v)
		}
	}
}

// TestSkipped checks that a stream from which a held-up run left pictures out still decodes to the bit.
func TestSkipped(t *testing.T) {
	v, err := newVideo(Options{Size: image.Pt(320, 180)}.fill())
	if err != nil {
		t.Fatal(err)
	}
	var frames []*media.Frame
	var want []byte
	for _, n := range []int64{0, 1, 2, 30, 31, 59, 500, 501} {
		pts := time.Duration(n) * time.Second / 30
		frames = append(frames, v.frame(n, pts, begin.Add(pts)))
		want = append(want, v.encoder.Recon().I420()...)
	}
	same(t, decode(t, annexB(frames)), want)
}

func TestProbe(t *testing.T) {
	frames, _ := film(t, Options{Size: image.Pt(1280, 720), Rate: 30}, 70)
	out := run(t, annexB(frames), "ffprobe", "-loglevel", "warning", "-f", "h264", "-count_frames", "-show_streams",
		"-of", "json", "pipe:0")
	type stream struct {
		Codec    string `json:"codec_name"`
		Profile  string `json:"profile"`
		Level    int    `json:"level"`
		Width    int    `json:"width"`
		Height   int    `json:"height"`
		Format   string `json:"pix_fmt"`
		Range    string `json:"color_range"`
		Space    string `json:"color_space"`
		BFrames  int    `json:"has_b_frames"`
		Refs     int    `json:"refs"`
		Rate     string `json:"r_frame_rate"`
		Pictures string `json:"nb_read_frames"`
	}
	var got struct{ Streams []stream }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := stream{"h264", "Constrained Baseline", 31, 1280, 720, "yuv420p", "tv", "bt709", 0, 1, "30/1", "70"}
	if len(got.Streams) != 1 || got.Streams[0] != want {
		t.Errorf("ffprobe says %+v, want %+v", got.Streams, want)
	}
}

// TestColours checks the bars by their colours in BT.709.
func TestColours(t *testing.T) {
	size := image.Pt(1280, 720)
	_, pixels := film(t, Options{Size: size, Rate: 30}, 1)
	cb := pixels[size.X*size.Y:]
	cr := cb[size.X*size.Y/4:]
	for i, want := range []colour{
		{180, 128, 128}, {168, 44, 136}, {145, 147, 44}, {133, 63, 52}, {63, 193, 204}, {51, 109, 212}, {28, 212, 120},
	} {
		x, y := size.X*(2*i+1)/14, 60
		got := colour{pixels[y*size.X+x], cb[y/2*size.X/2+x/2], cr[y/2*size.X/2+x/2]}
		if got != want {
			t.Errorf("bar %d is %v, want %v", i, got, want)
		}
	}
}

func TestFrameNumber(t *testing.T) {
	s := newScene(image.Pt(320, 180), 30)
	luma := func(n int64) []byte { return s.draw(n, 0, begin).I420()[:320*180] }
	for _, n := range []int64{0, 1, 0x55555, 0xAAAAA, 1<<20 - 1} {
		if got, ok := FrameNumber(luma(n), 320); int64(got) != n || !ok {
			t.Errorf("FrameNumber = %d, %t, want %d, true", got, ok, n)
		}
	}
	if got, ok := FrameNumber(luma(1<<20+7), 320); got != 7 || !ok {
		t.Errorf("FrameNumber after 2^20 pictures = %d, %t, want 7, true", got, ok)
	}

	blend := luma(1)
	for i, v := range luma(2) {
		blend[i] = byte((int(blend[i]) + int(v)) / 2)
	}
	for name, damaged := range map[string][]byte{
		"blended": blend, "black": make([]byte, 320*180), "white": bytes.Repeat([]byte{white}, 320*180),
		"short": luma(1)[:319], "none": nil,
	} {
		if got, ok := FrameNumber(damaged, 320); ok {
			t.Errorf("FrameNumber of a picture that is %s = %d, true, want false", name, got)
		}
	}
	if got, ok := FrameNumber(luma(1), 319); ok {
		t.Errorf("FrameNumber of a narrow picture = %d, true, want false", got)
	}
}

// TestBits checks that the pattern leaves room on a thin line.
func TestBits(t *testing.T) {
	frames, _ := film(t, Options{Size: image.Pt(1280, 720), Rate: 30, GOP: 2 * time.Second}, 120)
	total := 0
	for _, f := range frames {
		total += 8 * f.Size()
		if f.Size() > 32<<10 {
			t.Errorf("picture at %v has %d bytes, want at most 32 KiB", f.PTS, f.Size())
		}
	}
	if rate := total / 4; rate > 600_000 {
		t.Errorf("%d bits a second, want at most 600000", rate)
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, size := range []image.Point{{640, 360}, {1280, 720}, {1920, 1080}} {
		b.Run(fmt.Sprintf("%dx%d", size.X, size.Y), func(b *testing.B) {
			v, err := newVideo(Options{Size: size}.fill())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := int64(0); b.Loop(); n++ {
				pts := time.Duration(n) * time.Second / 30
				v.frame(n, pts, begin.Add(pts))
			}
		})
	}
}
