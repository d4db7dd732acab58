package demux_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// record runs ffmpeg over two seconds of 320x240 pictures at 25 a second and a tone, and returns its output.
func record(t testing.TB, args ...string) []byte {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error",
		"-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2:r=48000",
		"-pix_fmt", "yuv420p", "-g", "25"}, args...), "-")...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v\n%s", err, problems.String())
	}
	return out.Bytes()
}

const (
	x264 = "-map 0:v -c:v libx264 -preset ultrafast -tune zerolatency"
	x265 = "-map 0:v -c:v libx265 -preset ultrafast -x265-params log-level=error:bframes=0:keyint=25"
	vp8  = "-map 0:v -c:v libvpx -deadline realtime -cpu-used 8"
	vp9  = "-map 0:v -c:v libvpx-vp9 -deadline realtime -cpu-used 8"
	av1  = "-map 0:v -c:v libsvtav1 -preset 12"
	opus = " -map 1:a -c:a libopus -frame_duration 20"
	aac  = " -map 1:a -c:a aac"
	frag = " -f mp4 -movflags frag_every_frame+empty_moov+default_base_moof"
)

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name, args   string
		video, audio media.Codec
		timed        bool
	}{
		{"h264", x264 + " -f h264", media.H264, "", false},
		{"h265", x265 + " -f hevc", media.H265, "", false},
		{"h264 with delimiters", x264 + " -bsf:v h264_metadata=aud=insert -f h264", media.H264, "", false},
		{"ivf vp8", vp8 + " -f ivf", media.VP8, "", true},
		{"ivf vp9", vp9 + " -f ivf", media.VP9, "", true},
		{"ivf av1", av1 + " -f ivf", media.AV1, "", true},
		{"ogg", opus[1:] + " -f ogg", "", media.Opus, true},
		{"ts h264 opus", x264 + opus + " -f mpegts", media.H264, media.Opus, true},
		{"ts h264 aac", x264 + aac + " -f mpegts", media.H264, es.ADTS, true},
		{"ts h265 mp2", x265 + " -map 1:a -c:a mp2 -f mpegts", media.H265, es.MPA, true},
		{"ts h264 ac3", x264 + " -map 1:a -c:a ac3 -f mpegts", media.H264, es.AC3, true},
		{"ts with lengths", x264 + opus + " -f mpegts -omit_video_pes_length 0", media.H264, media.Opus, true},
		{"mp4 h264 opus", x264 + opus + frag, media.H264, media.Opus, true},
		{"mp4 h264 aac", x264 + aac + frag, media.H264, es.ADTS, true},
		{"mp4 by key frames", x264 + opus + " -f mp4 -movflags frag_keyframe+empty_moov+default_base_moof", media.H264,
			media.Opus, true},
		{"mp4 avc3", x264 + " -x264-params repeat-headers=1 -tag:v avc3 -strict -2" + frag, media.H264, "", true},
		{"mp4 h265", x265 + frag, media.H265, "", true},
		{"mp4 vp9", vp9 + frag, media.VP9, "", true},
		{"mp4 av1", av1 + frag, media.AV1, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := record(t, strings.Fields(tt.args)...)
			for name, r := range map[string]io.Reader{
				"whole":   bytes.NewReader(data),
				"by byte": iotest.OneByteReader(bytes.NewReader(data)),
			} {
				checkFormat(t, name, r, tt.video, tt.audio, tt.timed)
			}
		})
	}
}

// checkFormat reads a stream of record and counts its units.
func checkFormat(t *testing.T, name string, r io.Reader, video, audio media.Codec, timed bool) {
	t.Helper()
	s, err := demux.Open(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	sink := &sink{}
	w := es.NewWriter(sink, s.Tracks()...)
	now := time.Unix(0, 0)
	for {
		u, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if timed == (u.PTS == es.Untimed) {
			t.Fatalf("%s: PTS %v", name, u.PTS)
		}
		now = now.Add(13 * time.Millisecond) // of no account, except for Annex B
		if err := w.Write(u.Codec, u.PTS, now, u.Data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	sink.check(t, name, video, audio, timed)
}

// sink counts frames.
type sink struct {
	tracks []media.Track
	frames map[media.Codec][]*media.Frame
}

func (s *sink) Tracks(tracks []media.Track) { s.tracks = tracks }

func (s *sink) Write(f *media.Frame) {
	if s.frames == nil {
		s.frames = map[media.Codec][]*media.Frame{}
	}
	s.frames[f.Codec] = append(s.frames[f.Codec], f)
}

func (s *sink) check(t *testing.T, name string, video, audio media.Codec, timed bool) {
	t.Helper()
	for _, track := range s.tracks {
		if track.Codec.Video() && (track.Width != 320 || track.Height != 240) {
			t.Errorf("%s: %dx%d", name, track.Width, track.Height)
		}
	}
	for codec := range s.frames {
		if codec != video && codec != audio {
			t.Errorf("%s: frames of %s", name, codec)
		}
	}
	if frames := s.frames[video]; video != "" {
		keys := 0
		for _, f := range frames {
			if f.Key {
				keys++
			}
		}
		if len(frames) != 50 || !frames[0].Key || keys < 2 {
			t.Errorf("%s: %d frames, %d of them key frames, want 50 and 2", name, len(frames), keys)
		}
		if last := frames[len(frames)-1].PTS - frames[0].PTS; timed &&
			(last < 1950*time.Millisecond || last > 1990*time.Millisecond) {
			t.Errorf("%s: the last picture is at %v, want 1.96 s", name, last)
		}
	}
	if frames := s.frames[audio]; audio != "" {
		if last := frames[len(frames)-1].PTS - frames[0].PTS; last < 1500*time.Millisecond ||
			last > 2100*time.Millisecond {
			t.Errorf("%s: %d frames of %s, the last at %v, want about 2 s", name, len(frames), audio, last)
		}
	}
}

// A transport stream that is joined in the middle of a packet plays from the next key frame on; the bytes before are
// skipped.
func TestJoinedTS(t *testing.T) {
	data := record(t, strings.Fields(x264+opus+" -f mpegts")...)
	s, err := demux.OpenTS(bytes.NewReader(data[len(data)/4+77:]))
	if err != nil {
		t.Fatal(err)
	}
	sink := &sink{}
	w := es.NewWriter(sink, s.Tracks()...)
	for {
		u, err := s.Next()
		if err != nil {
			break
		}
		if err := w.Write(u.Codec, u.PTS, time.Unix(0, 0), u.Data); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sink.frames[media.H264]); n != 25 || !sink.frames[media.H264][0].Key {
		t.Errorf("%d frames, want the last 25", n)
	}
}

// The clock of a transport stream has 33 bits: 26.5 hours. Its wrap is invisible, and a jump of the stream's clock is
// not a jump of the pictures.
func TestWrappedTS(t *testing.T) {
	data := record(t, strings.Fields(x264+" -output_ts_offset 95442.7 -f mpegts")...)
	checkFormat(t, "wrapped", bytes.NewReader(data), media.H264, "", true)
}

// A lost packet costs one picture.
func TestTSLoss(t *testing.T) {
	data := record(t, strings.Fields(x264+" -b:v 2M -f mpegts")...)
	at := len(data) / 188 / 2 * 188
	s, err := demux.Open(bytes.NewReader(append(data[:at:at], data[at+188:]...)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err := s.Next(); err != nil {
			break
		}
		n++
	}
	if n != 49 && n != 48 {
		t.Errorf("%d of 50 pictures, want all but the damaged one", n)
	}
}

// B-frames are refused: a browser would show them in order of arrival.
func TestBFrames(t *testing.T) {
	for name, args := range map[string]string{
		"h264":    "-map 0:v -c:v libx264 -bf 2 -b_strategy 0 -f h264",
		"ts":      "-map 0:v -c:v libx264 -bf 2 -b_strategy 0 -f mpegts",
		"mp4":     "-map 0:v -c:v libx264 -bf 2 -b_strategy 0" + frag,
		"h265":    "-map 0:v -c:v libx265 -x265-params log-level=error:bframes=2:b-adapt=0 -f hevc",
		"h265 ts": "-map 0:v -c:v libx265 -x265-params log-level=error:bframes=2:b-adapt=0 -f mpegts",
	} {
		s, err := demux.Open(bytes.NewReader(record(t, strings.Fields(args)...)))
		if err != nil {
			t.Fatal(err)
		}
		w := es.NewWriter(&sink{}, s.Tracks()...)
		for err == nil {
			var u demux.Unit
			if u, err = s.Next(); err == nil {
				err = w.Write(u.Codec, u.PTS, time.Unix(0, 0), u.Data)
			}
		}
		if !errors.Is(err, es.ErrBFrames) {
			t.Errorf("%s: %v, want %v", name, err, es.ErrBFrames)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "EOF"},
		"text":        {[]byte("Usage: camera [-h]\n"), `it begins with "Usage: c"`},
		"jpeg":        {[]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), "neither"},
		"short":       {[]byte("ab"), "neither"},
		"plain mp4":   {[]byte("\x00\x00\x00\x0cftypmp42\x00\x00\x00\x10mdat12345678"), "frag_every_frame"},
		"huge box":    {[]byte("\x00\x00\x00\x0cftypmp42\x7f\x00\x00\x10moov12345678"), "of 2130706448 bytes"},
		"ivf of h264": {append([]byte("DKIF\x00\x00\x20\x00H264"), make([]byte, 20)...), `"H264"`},
		"ivf no rate": {append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...), "time base"},
		"vorbis":      {record(t, strings.Fields("-map 1:a -c:a libvorbis -f ogg")...), "another stream than Opus"},
	} {
		if _, err := demux.Open(bytes.NewReader(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// FuzzOpen feeds bytes that a program made up: no panic, no memory beyond the limits, and only units that the tracks
// announce.
func FuzzOpen(f *testing.F) {
	small := " -t 0.2 -s 32x32"
	for _, args := range []string{
		x264 + small + " -f h264", x265 + small + " -f hevc", vp8 + small + " -f ivf", av1 + " -t 0.1 -s 64x64 -f ivf",
		opus[1:] + small + " -f ogg",
		x264 + opus + small + " -f mpegts", x264 + aac + small + " -f mpegts", x264 + aac + small + frag,
	} {
		f.Add(record(f, strings.Fields(args)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := demux.Open(bytes.NewReader(data))
		if err != nil {
			return
		}
		known := map[media.Codec]bool{}
		for _, track := range s.Tracks() {
			known[track.Codec] = true
		}
		if len(known) == 0 || len(known) > 2 {
			t.Fatalf("%d tracks", len(known))
		}
		w := es.NewWriter(&sink{}, s.Tracks()...)
		for n := 0; ; n++ {
			u, err := s.Next()
			if err != nil {
				return
			}
			if !known[u.Codec] || n > len(data)+20_000 {
				t.Fatalf("unit %d of %d bytes is %s", n, len(data), u.Codec)
			}
			if w.Write(u.Codec, u.PTS, time.Unix(0, 0), u.Data) != nil {
				return
			}
		}
	})
}

// TestJoinedHEVC: an H.265 byte stream that is joined at any NAL unit is known as such, and plays from its next key
// frame on; one of H.264 is not taken for it.
func TestJoinedHEVC(t *testing.T) {
	for args, codec := range map[string]media.Codec{
		x265 + " -f hevc": media.H265,
		x265 + ":temporal-layers=2:slices=2 -f hevc":                                        media.H265,
		x264 + " -x264-params nal-hrd=cbr:slices=3 -b:v 1M -maxrate 1M -bufsize 1M -f h264": media.H264,
		"-map 0:v -c:v libx264 -bf 0 -profile:v high -f h264":                               media.H264,
	} {
		data := record(t, strings.Fields(args)...)
		for at := 0; ; at++ {
			next := bytes.Index(data[at:], []byte{0, 0, 1})
			if next < 0 {
				break
			}
			at += next
			if len(data)-at < 16 {
				break
			}
			s, err := demux.Open(bytes.NewReader(data[at:]))
			if err != nil || s.Tracks()[0].Codec != codec {
				t.Fatalf("%s, from byte %d (% x) on: %v, %v", args, at, data[at:at+6], s, err)
			}
		}
	}
	data := record(t, strings.Fields(x265+" -f hevc")...)
	middle := len(data) / 4
	middle += bytes.Index(data[middle:], []byte{0, 0, 1})
	s, err := demux.Open(bytes.NewReader(data[middle:]))
	if err != nil {
		t.Fatal(err)
	}
	out := &sink{}
	w := es.NewWriter(out, s.Tracks()...)
	w.Parameters(parameterSets(t, data)...)
	for n := 0; ; n++ {
		u, err := s.Next()
		if err != nil {
			break
		}
		if err := w.Write(u.Codec, u.PTS, time.Unix(0, int64(n)*4e7), u.Data); err != nil {
			t.Fatal(err)
		}
	}
	if frames := out.frames[media.H265]; len(frames) != 25 || !frames[0].Key {
		t.Errorf("%d frames, want the 25 from the second key frame on", len(frames))
	}
}

// parameterSets returns the NAL units before the first picture of an H.265 stream.
func parameterSets(t *testing.T, data []byte) [][]byte {
	t.Helper()
	s, err := demux.Open(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return u.Data[:3]
}
