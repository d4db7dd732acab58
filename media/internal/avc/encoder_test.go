package avc_test

import (
	"bytes"
	"fmt"
	"image"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// TestDecodersAgree encodes pictures of random blocks and checks that ffmpeg decodes them to the encoder's
// reconstruction.
func TestDecodersAgree(t *testing.T) {
	for _, tt := range []struct {
		size image.Point
		rate int
		span int // the largest difference between a block and its base
	}{
		{image.Pt(320, 192), 30, 255},
		{image.Pt(322, 182), 15, 255},
		{image.Pt(640, 360), 25, 8},
		{image.Pt(16, 16), 1, 255},
		{image.Pt(98, 34), 60, 64},
	} {
		t.Run(fmt.Sprintf("%dx%d@%d", tt.size.X, tt.size.Y, tt.rate), func(t *testing.T) {
			e, err := avc.NewEncoder(tt.size, tt.rate)
			if err != nil {
				t.Fatal(err)
			}
			rnd := rand.New(rand.NewPCG(1, uint64(tt.span)))
			p := avc.NewPicture(tt.size)
			var stream, want bytes.Buffer
			for i := range 60 {
				scramble(rnd, p, tt.span, i%20 == 0)
				key := i%20 == 0
				units := [][]byte{e.Encode(p, key)}
				if key {
					units = [][]byte{e.SPS(), e.PPS(), units[0]}
				}
				for _, unit := range units {
					stream.WriteString("\x00\x00\x00\x01")
					stream.Write(unit)
				}
				want.Write(e.Recon().I420())
				near(t, p, e.Recon())
			}
			got := decode(t, stream.Bytes())
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("ffmpeg decoded %d bytes that differ from the encoder's %d from byte %d on", len(got),
					want.Len(), differ(got, want.Bytes()))
			}
		})
	}
}

// scramble changes some blocks of p, or all of them.
func scramble(rnd *rand.Rand, p *avc.Picture, span int, all bool) {
	share := rnd.IntN(10)
	for _, plane := range [][]byte{p.Y, p.Cb, p.Cr} {
		base := rnd.IntN(256)
		for i := range plane {
			if all || rnd.IntN(100) < share {
				plane[i] = byte(min(max(base+rnd.IntN(2*span+1)-span, 0), 255))
			}
		}
	}
}

// near checks that the decoded picture is close to the original.
func near(t *testing.T, want, got *avc.Picture) {
	t.Helper()
	for i, v := range want.Y {
		if d := int(v) - int(got.Y[i]); d < -3 || d > 3 {
			t.Fatalf("luma block %d is %d, want %d", i, got.Y[i], v)
		}
	}
	for i, v := range want.Cb {
		if d := int(v) - int(got.Cb[i]); d < -2 || d > 2 {
			t.Fatalf("Cb block %d is %d, want %d", i, got.Cb[i], v)
		}
	}
}

// TestFlat checks that a flat macroblock comes out exactly, whatever its colour.
func TestFlat(t *testing.T) {
	size := image.Pt(256*16, 16)
	e, err := avc.NewEncoder(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := avc.NewPicture(size)
	for i := range p.Y {
		p.Y[i] = byte(i / 4 * 157)
	}
	for i := range p.Cb {
		p.Cb[i], p.Cr[i] = byte(i/2*89), byte(i/2*211)
	}
	e.Encode(p, true)
	if got := e.Recon(); !bytes.Equal(got.Y, p.Y) || !bytes.Equal(got.Cb, p.Cb) || !bytes.Equal(got.Cr, p.Cr) {
		t.Error("flat macroblocks do not come out as they went in")
	}
}

func TestNewEncoderErrors(t *testing.T) {
	for _, tt := range []struct {
		size image.Point
		rate int
		want string
	}{
		{image.Pt(321, 180), 30, "size 321x180: not even"},
		{image.Pt(0, 0), 30, "size 0x0: not even"},
		{image.Pt(4096, 4096), 30, "more than level 5.2"},
		{image.Pt(4096, 2304), 120, "more than level 5.2"},
	} {
		if _, err := avc.NewEncoder(tt.size, tt.rate); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("NewEncoder(%v, %d) = %v, want an error with %q", tt.size, tt.rate, err, tt.want)
		}
	}
}

func TestLevel(t *testing.T) {
	for _, tt := range []struct {
		size image.Point
		rate int
		want byte
	}{
		{image.Pt(320, 180), 15, 12},
		{image.Pt(640, 360), 15, 22},
		{image.Pt(640, 360), 30, 30},
		{image.Pt(1280, 720), 30, 31},
		{image.Pt(1280, 720), 60, 32},
		{image.Pt(1920, 1080), 30, 40},
		{image.Pt(3840, 2160), 30, 51},
	} {
		e, err := avc.NewEncoder(tt.size, tt.rate)
		if err != nil {
			t.Fatal(err)
		}
		if sps := e.SPS(); sps[1] != 66 || sps[2] != 0xC0 || sps[3] != tt.want {
			t.Errorf("%v at %d: profile, constraints, level = %d %#x %d, want 66 0xc0 %d", tt.size, tt.rate, sps[1],
				sps[2], sps[3], tt.want)
		}
	}
}

// decode is ffmpeg's reading of an Annex B stream as I420. It must not complain.
func decode(t *testing.T, stream []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "warning", "-err_detect", "explode",
		"-xerror",
		"-f", "h264", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "pipe:1")
	cmd.Stdin = bytes.NewReader(stream)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg: %v\n%s", err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// differ returns the index of the first byte in which a and b differ.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
