package rig

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/kvsagent/kvsagent/internal/h264"
)

// Stream is a clip as a file, as encoders write it.
func (c Clip) Stream(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for _, au := range c {
		for _, nal := range au {
			b.Write(append([]byte{0, 0, 0, 1}, nal...))
		}
	}
	return WriteFile(t, "clip.h264", b.String())
}

// Clip is what a camera sends over and over: access units of H.264.
type Clip [][][]byte

// Without is the clip without the NAL units of some types.
func (c Clip) Without(kinds ...byte) Clip {
	var out Clip
	for _, au := range c {
		au = slices.DeleteFunc(slices.Clone(au), func(nal []byte) bool { return slices.Contains(kinds, nal[0]&0x1f) })
		out = append(out, au)
	}
	return out
}

// sets are the parameter sets of the clip.
func (c Clip) sets() (sps, pps []byte) {
	var p h264.Params
	p.Set(c[0]...)
	p.Settle()
	return p.SPS(), p.PPS()
}

// EncodeClip lets x264 make two seconds of pictures, 25 a second, with a key frame each second unless args say
// otherwise.
func EncodeClip(t testing.TB, args ...string) Clip {
	t.Helper()
	line := append([]string{
		"-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt",
		"yuv420p", "-bf", "0", "-g", "25",
	}, args...)
	out, err := os.ReadFile(Encoded(t, "", append(line, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264")...))
	if err != nil {
		t.Fatal(err)
	}
	var c Clip
	for r := h264.NewReader(bytes.NewReader(out)); ; {
		au, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		c = append(c, au)
	}
}
