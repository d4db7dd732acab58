package h264_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kvsagent/kvsagent/internal/h264"
)

func bin(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encode returns a byte stream of 10 pictures made by libx264.
func encode(t testing.TB, args ...string) []byte {
	t.Helper()
	out,
		err := exec.Command("ffmpeg",
		append(append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=322x238:r=15", "-frames:v", "10",
			"-pix_fmt", "yuv420p", "-c:v", "libx264"}, args...), "-f", "h264", "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	return out
}

func units(t testing.TB, r io.Reader) (all [][][]byte) {
	t.Helper()
	reader := h264.NewReader(r)
	for {
		au, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, au)
	}
}

// TestReader splits the output of x264 into its ten pictures, however the bytes arrive, and loses none.
func TestReader(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"plain", []string{"-profile:v", "baseline"}},
		{"slices", []string{"-profile:v", "baseline", "-x264-params", "slices=5"}},
		{"delimiters", []string{"-profile:v", "baseline", "-x264-params", "aud=1"}},
		{"parameter sets each time", []string{"-profile:v", "baseline", "-g", "1"}},
		{"B-frames", []string{"-bf", "3"}},
		{"CABAC and filler", []string{"-bf", "0", "-x264-params", "nal-hrd=cbr", "-b:v", "2M", "-maxrate", "2M",
			"-bufsize", "2M"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream := encode(t, tt.args...)
			got := units(t, bytes.NewReader(stream))
			if len(got) != 10 {
				t.Errorf("%d access units, want 10", len(got))
			}
			if slow := units(t, iotest.OneByteReader(bytes.NewReader(stream))); !reflect.DeepEqual(got, slow) {
				t.Error("a reader that gives one byte at a time gives other access units")
			}
			var back []byte
			for _, nal := range slices.Concat(got...) {
				back = append(append(back, 0, 0, 1), nal...)
			}
			long := bytes.ReplaceAll(stream, []byte{0, 0, 0, 1}, []byte{0, 0, 1})
			if !bytes.Equal(bytes.TrimRight(back, "\x00"), bytes.TrimRight(long, "\x00")) {
				t.Errorf("%d bytes went in, %d came out", len(long), len(back))
			}
		})
	}
}

func TestReaderErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		input []byte
		want  error
	}{
		{"nothing", nil, io.EOF},
		{"zeros", make([]byte, 100), h264.ErrNotAnnexB},
		{"text", []byte("hello"), h264.ErrNotAnnexB},
		{"a start code too short", []byte{0, 1, 0x67}, h264.ErrNotAnnexB},
		{"start codes only", []byte{0, 0, 1, 0, 0, 1, 0, 0, 1}, io.EOF},
		{"a NAL unit without end", append([]byte{0, 0, 1}, bytes.Repeat([]byte{7}, h264.MaxUnitSize+1)...),
			h264.ErrTooBig},
		{"NAL units without end", bytes.Repeat([]byte{0, 0, 1, 6, 1}, h264.MaxUnitNALs+1), h264.ErrTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := h264.NewReader(bytes.NewReader(tt.input))
			for range 2 {
				if au, err := r.Next(); !errors.Is(err, tt.want) {
					t.Errorf("Next = %x, %v, want %v", au, err, tt.want)
				}
			}
		})
	}
	broken := errors.New("broken disk")
	if _, err := h264.NewReader(iotest.ErrReader(broken)).Next(); !errors.Is(err, broken) {
		t.Errorf("Next = %v, want the error of the reader below", err)
	}
}

func TestSPS(t *testing.T) {
	stream := units(t, bytes.NewReader(encode(t, "-profile:v", "high")))
	var p h264.Params
	p.Set(stream[0]...)
	if w, h, err := h264.Size(p.SPS()); w != 322 || h != 238 || err != nil {
		t.Errorf("Size = %d, %d, %v, want 322 x 238, which needs cropping", w, h, err)
	}
	if fps := h264.FrameRate(p.SPS()); fps != 15 {
		t.Errorf("FrameRate = %v, want 15", fps)
	}
	// An SPS without VUI: Constrained Baseline, level 1.3, 320 x 240.
	plain := bin(t, "67 42 c0 0d da 05 07 e4")
	if w, h, err := h264.Size(plain); w != 320 || h != 240 || err != nil {
		t.Errorf("Size = %d, %d, %v, want 320 x 240", w, h, err)
	}
	if fps := h264.FrameRate(plain); fps != 0 {
		t.Errorf("FrameRate without VUI = %v, want 0", fps)
	}
	for _, bad := range []string{"", "67", "67 42 c0", "68 ce 3c 80", "67 42 c0 0d ff ff ff ff"} {
		if w, h, err := h264.Size(bin(t, bad)); err == nil {
			t.Errorf("Size(%s) = %d, %d, want an error", bad, w, h)
		}
		if fps := h264.FrameRate(bin(t, bad)); fps != 0 {
			t.Errorf("FrameRate(%s) = %v, want 0", bad, fps)
		}
	}
}

func TestPlayable(t *testing.T) {
	for _, tt := range []struct {
		profile, format string
		want            string // "" means playable
	}{
		{"baseline", "yuv420p", ""},
		{"main", "yuv420p", ""},
		{"high", "yuv420p", ""},
		{"high10", "yuv420p10le", "10 bits a sample and 4:2:0 (profile 110)"},
		{"high422", "yuv422p", "8 bits a sample and 4:2:2 (profile 122)"},
		{"high444", "yuv444p", "8 bits a sample and 4:4:4 (profile 244)"},
		{"high", "gray", "8 bits a sample and no colour (profile 100)"},
	} {
		var p h264.Params
		p.Set(units(t, bytes.NewReader(encode(t, "-profile:v", tt.profile, "-pix_fmt", tt.format)))[0]...)
		err := h264.Playable(p.SPS())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v, want %q", tt.profile, tt.format, err, tt.want)
		}
	}
	if err := h264.Playable(nil); err == nil {
		t.Error("no SPS is playable")
	}
}

func TestBidirectional(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want bool
	}{
		{[]string{"-bf", "0"}, false},
		{[]string{"-profile:v", "baseline"}, false},
		{[]string{"-bf", "2", "-x264-params", "b-adapt=0"}, true},
	} {
		got := slices.ContainsFunc(units(t, bytes.NewReader(encode(t, tt.args...))), h264.Bidirectional)
		if got != tt.want {
			t.Errorf("%v: B slices = %t, want %t", tt.args, got, tt.want)
		}
	}
	if h264.Bidirectional([][]byte{nil, {0x41}, {0x06, 1}}) {
		t.Error("units without a slice header have B slices")
	}
}

func TestParams(t *testing.T) {
	sps, other := bin(t, "67 42 c0 0d da 05 07 e4"), bin(t, "67 42 c0 0d da 0a 1f 90") // the second is half as wide
	pps, pps2 := bin(t, "68 ce 3c 80"), bin(t, "68 4e 3c 80")                          // pic_parameter_set_id 0 and 1
	aud, sei, filler := []byte{9, 0xf0}, []byte{6, 5}, []byte{12, 0xff}
	idr, p := []byte{0x65, 0x88}, []byte{0x41, 0x9a}
	type want struct {
		nals    [][]byte // nil means not ok
		key     bool
		changed bool
	}
	for _, tt := range []struct {
		name  string
		set   [][]byte
		input [][][]byte
		want  []want
	}{
		{"in band", nil, [][][]byte{{aud, sps, pps, sei, idr}, {aud, p, filler}},
			[]want{{[][]byte{sps, pps, sei, idr}, true, true}, {[][]byte{p}, false, false}}},
		{"out of band", [][]byte{sps, pps}, [][][]byte{{idr}, {p}},
			[]want{{[][]byte{sps, pps, idr}, true, false}, {[][]byte{p}, false, false}}},
		{"never", nil, [][][]byte{{idr}, {p}}, []want{{}, {[][]byte{p}, false, false}}},
		{"in a unit of their own", nil, [][][]byte{{sps, pps}, {idr}},
			[]want{{}, {[][]byte{sps, pps, idr}, true, true}}},
		{"behind the picture", nil, [][][]byte{{idr, sps, pps}}, []want{{[][]byte{sps, pps, idr}, true, true}}},
		{"the same again", [][]byte{sps, pps}, [][][]byte{{sps, pps, idr}},
			[]want{{[][]byte{sps, pps, idr}, true, false}}},
		{"twice in one unit", [][]byte{sps, pps}, [][][]byte{{sps, pps, sps, pps, idr}},
			[]want{{[][]byte{sps, pps, idr}, true, false}}},
		{"another size", [][]byte{sps, pps}, [][][]byte{{other, pps, idr}},
			[]want{{[][]byte{other, pps, idr}, true, true}}},
		{"another SPS without its PPS", [][]byte{sps, pps}, [][][]byte{{other, idr}, {pps}, {idr}},
			[]want{{}, {}, {[][]byte{other, pps, idr}, true, true}}},
		{"two PPS", nil, [][][]byte{{sps, pps, pps2, idr}, {idr}},
			[]want{{[][]byte{sps, pps, pps2, idr}, true, true}, {[][]byte{sps, pps, pps2, idr}, true, false}}},
		{"a PPS between key frames", [][]byte{sps, pps}, [][][]byte{{pps2, p}, {idr}},
			[]want{{[][]byte{pps2, p}, false, true}, {[][]byte{sps, pps, pps2, idr}, true, false}}},
		{"nonsense sets", [][]byte{{0x67, 1, 2, 3}, {0x68}, nil, bytes.Repeat([]byte{0x68}, 1<<16)}, [][][]byte{{idr}},
			[]want{{}}},
		{"nothing", nil, [][][]byte{nil, {nil, {}}, {aud}}, []want{{}, {}, {}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var params h264.Params
			params.Set(tt.set...)
			params.Settle()
			for i, au := range tt.input {
				u, ok := params.Next(au)
				w := tt.want[i]
				if ok != (w.nals != nil) || !reflect.DeepEqual(u.NALs, w.nals) || u.Key != w.key ||
					u.Changed != w.changed {
					t.Errorf("unit %d = %x, key %t, changed %t, ok %t; want %x, %t, %t", i, u.NALs, u.Key, u.Changed,
						ok, w.nals, w.key, w.changed)
				}
			}
		})
	}
	var params h264.Params
	if w, h := params.Size(); w != 0 || h != 0 || params.PPS() != nil || params.SPS() != nil {
		t.Error("the zero value knows something")
	}
	params.Set(sps, pps2, pps)
	if w, h := params.Size(); w != 320 || h != 240 || !bytes.Equal(params.PPS(), pps2) {
		t.Errorf("size = %d x %d, PPS = %x", w, h, params.PPS())
	}
}

func TestSplitLengths(t *testing.T) {
	for _, tt := range []struct {
		input string
		size  int
		want  string // NAL units, or "error"
	}{
		{"00000002 6588 00000001 06", 4, "6588 06"},
		{"0002 6588 0000 0001 06", 2, "6588 06"},
		{"02 6588", 1, "6588"},
		{"", 4, ""},
		{"00000003 6588", 4, "error"},
		{"0000", 4, "error"},
		{"ffffffff 00", 4, "error"},
		{"000001 65", 3, "error"},
		{strings.Repeat("01 65", h264.MaxUnitNALs+1), 1, "error"},
	} {
		au, err := h264.SplitLengths(bin(t, tt.input), tt.size)
		var got []string
		for _, nal := range au {
			got = append(got, hex.EncodeToString(nal))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
		}
		if text != tt.want {
			t.Errorf("SplitLengths(%s, %d) = %s, %v, want %s", tt.input, tt.size, text, err, tt.want)
		}
	}
}

// FuzzReader: whatever the bytes, the units stay within their limits and have the form of media.Frame.
func FuzzReader(f *testing.F) {
	f.Add(encode(f, "-profile:v", "baseline", "-s", "32x32"))
	f.Add(encode(f, "-bf", "2", "-s", "32x32"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := h264.NewReader(bytes.NewReader(data))
		var p h264.Params
		for {
			au, err := r.Next()
			if err != nil {
				return
			}
			if len(au) > h264.MaxUnitNALs {
				t.Fatalf("%d NAL units", len(au))
			}
			h264.Bidirectional(au)
			u, ok := p.Next(au)
			if !ok {
				continue
			}
			if w, h := p.Size(); u.Key && (w < 1 || h < 1) {
				t.Errorf("a key frame of %d x %d pixels", w, h)
			}
			for i, nal := range u.NALs {
				if len(nal) == 0 || h264.Type(nal) == 9 || u.Key && (i == 0) != (h264.Type(nal) == 7) {
					t.Errorf("NAL unit %d of %d is %x", i, len(u.NALs), nal)
				}
			}
		}
	})
}

// FuzzSPS: made-up numbers in an SPS neither panic nor yield an impossible size.
func FuzzSPS(f *testing.F) {
	f.Add(bin(f, "67 42 c0 0d da 05 07 e4"))
	f.Add(bin(f, "67 64 00 1f ac d9 40 50 05 bb 01 6c 80 00 00 03 00 80 00 00 1e 07 8c 18 cb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, err := h264.Size(data)
		if err == nil && (w < 1 || h < 1 || w > 16384 || h > 16384) {
			t.Errorf("Size = %d x %d", w, h)
		}
		if fps := h264.FrameRate(data); fps != 0 && !(fps >= 0.1 && fps <= 240) {
			t.Errorf("FrameRate = %v", fps)
		}
	})
}
