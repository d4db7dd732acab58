package file_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/file"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/mediatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clip makes a file with ffmpeg: two seconds of 320x240 pictures at 25 a second, and a tone when args ask for an audio
// codec.
func clip(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	all := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i",
		"sine=d=2:r=48000"}
	out, err := exec.Command("ffmpeg", append(append(all, args...), path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v\n%s", err, out)
	}
	return path
}

// plain is video that WebRTC can carry: no B-frames, a key frame each second.
func plain(more ...string) []string {
	return append([]string{"-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-g", "25", "-preset",
		"ultrafast"}, more...)
}

func open(t *testing.T, o file.Options) *file.Source {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := file.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sink keeps the frames and ends the run after a PTS.
type sink struct {
	until  time.Duration
	stop   context.CancelFunc
	tracks [][]media.Track
	frames []*media.Frame
	late   time.Duration // the longest time that a frame came after it was due
	begin  time.Time
}

func (s *sink) Tracks(t []media.Track) { s.tracks = append(s.tracks, t) }
func (s *sink) Write(f *media.Frame) {
	s.frames = append(s.frames, f)
	s.late = max(s.late, time.Since(s.begin)-f.PTS)
	if f.PTS >= s.until {
		s.stop()
	}
}

func (s *sink) of(c media.Codec) (frames []*media.Frame) {
	for _, f := range s.frames {
		if f.Codec == c {
			frames = append(frames, f)
		}
	}
	return frames
}

// play runs src in a bubble, where waiting takes no time, until a frame of PTS until has come.
func play(t *testing.T, src *file.Source, until time.Duration) (*sink, error) {
	t.Helper()
	var out *sink
	var err error
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out = &sink{until: until, stop: cancel, begin: time.Now()}
		err = src.Run(ctx, out)
	})
	return out, err
}

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"clip.mp4", plain("-c:a", "libopus")},
		{"fragments.mp4", plain("-c:a", "libopus", "-movflags", "frag_keyframe+empty_moov+default_base_moof")},
		{"clip.h264", plain("-map", "0:v", "-f", "h264")},
		{"clip.ogg", []string{"-map", "1:a", "-c:a", "libopus"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := clip(t, tt.name, tt.args...)
			mediatest.Source(t, func(t *testing.T) media.Source { return open(t, file.Options{Path: path}) })
		})
	}
}

// An audio-only file continues from one pass to the next, packet by packet.
func TestOgg(t *testing.T) {
	path := clip(t, "tone.ogg", "-map", "1:a", "-c:a", "libopus", "-ac", "1")
	out, err := play(t, open(t, file.Options{Path: path}), 5*time.Second)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v", err)
	}
	if got := out.tracks[0]; len(got) != 1 || got[0].Codec != media.Opus || got[0].Channels != 1 {
		t.Errorf("tracks = %+v, want Opus in mono", got)
	}
	for i, f := range out.frames {
		if want := time.Duration(i) * 20 * time.Millisecond; f.PTS != want {
			t.Fatalf("packet %d at %v, want %v", i, f.PTS, want)
		}
	}
	if len(out.frames) != 251 || out.late > time.Millisecond {
		t.Errorf("%d packets in 5 s, %v late", len(out.frames), out.late)
	}
	flac := clip(t, "flac.ogg", "-map", "1:a", "-c:a", "flac")
	if _, err := play(t, open(t, file.Options{Path: flac}), time.Second); err == nil ||
		!strings.Contains(err.Error(), "which browsers cannot play") {
		t.Errorf("Ogg without Opus: %v", err)
	}
}

func TestPlay(t *testing.T) {
	opus := []media.Codec{media.H264, media.Opus}
	silent := []media.Codec{media.H264}
	for _, tt := range []struct {
		name string
		args []string
		want []media.Codec
	}{
		{"plain.mp4", plain("-c:a", "libopus"), opus},
		{"faststart.mp4", plain("-c:a", "libopus", "-movflags", "faststart"), opus},
		{"without edit list.mp4", plain("-c:a", "libopus", "-use_editlist", "0"), opus},
		{"mono.mp4", plain("-c:a", "libopus", "-ac", "1"), opus},
		{"fragmented.mp4", plain("-c:a", "libopus", "-movflags", "frag_keyframe+empty_moov"), opus},
		{"default base.mp4", plain("-c:a", "libopus", "-movflags", "frag_every_frame+empty_moov+default_base_moof"),
			opus},
		{"cmaf.mp4", plain("-c:a", "libopus", "-movflags", "cmaf", "-frag_duration", "300000"), opus},
		{"video only.mp4", plain("-map", "0:v"), silent},
		{"aac.mp4", plain("-c:a", "aac"), silent},
		{"quicktime.mov", plain("-map", "0:v"), silent},
		{"stream.h264", plain("-map", "0:v", "-f", "h264"), silent},
		{"stream.bin", plain("-map", "0:v", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264"),
			silent},
		{"slices.264", plain("-map", "0:v", "-x264-params", "slices=4", "-f", "h264"), silent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := clip(t, tt.name, tt.args...)
			out, err := play(t, open(t, file.Options{Path: path}), 5*time.Second)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Run = %v", err)
			}
			checkTracks(t, out.tracks[0], tt.want)
			checkVideo(t, out)
			if len(tt.want) == 2 {
				checkOpus(t, out)
			}
			if out.late > time.Millisecond {
				t.Errorf("a frame came %v after it was due", out.late)
			}
		})
	}
}

func checkTracks(t *testing.T, tracks []media.Track, want []media.Codec) {
	t.Helper()
	if len(tracks) != len(want) {
		t.Fatalf("tracks = %+v, want %v", tracks, want)
	}
	for i, c := range want {
		if tracks[i].Codec != c {
			t.Errorf("track %d is %s, want %s", i, tracks[i].Codec, c)
		}
	}
	if v := tracks[0]; v.Width != 320 || v.Height != 240 || v.SPS == nil || v.PPS == nil {
		t.Errorf("video track = %d x %d, SPS %x, PPS %x; want 320 x 240 and both", v.Width, v.Height, v.SPS, v.PPS)
	}
}

// checkVideo wants 25 frames a second over the loop's border, evenly, a key frame each second, and no delimiters.
func checkVideo(t *testing.T, out *sink) {
	t.Helper()
	frames := out.of(media.H264)
	if len(frames) < 125 {
		t.Fatalf("%d video frames in 5 s, want 125", len(frames))
	}
	loops := 0
	for i, f := range frames {
		if i > 0 {
			step := f.PTS - frames[i-1].PTS
			most := 41 * time.Millisecond
			if len(out.tracks[0]) == 2 && i%50 <= 1 {
				// Sound may be longer, and without an edit list ffmpeg stretches the first frame.
				most = 75 * time.Millisecond
			}
			if step < 39*time.Millisecond || step > most {
				t.Errorf("frame %d comes %v after the one before, want 40 ms", i, step)
			}
		}
		if f.Key != (i%25 == 0) {
			t.Errorf("frame %d: key = %t", i, f.Key)
		}
		if i%50 == 0 && bytes.Equal(bytes.Join(f.Data, nil), bytes.Join(frames[0].Data, nil)) {
			loops++
		}
		for _, nal := range f.Data {
			if nal[0]&0x1f == 9 {
				t.Errorf("frame %d has an access unit delimiter", i)
			}
		}
	}
	if loops != (len(frames)+49)/50 {
		t.Errorf("%d passes begin with the first frame, want %d", loops, (len(frames)+49)/50)
	}
}

func checkOpus(t *testing.T, out *sink) {
	t.Helper()
	frames := out.of(media.Opus)
	if len(frames) < 240 || len(frames) > 256 {
		t.Errorf("%d Opus packets of 20 ms in 5 s, want about 250", len(frames))
	}
	for i := 1; i < len(frames); i++ {
		if step := frames[i].PTS - frames[i-1].PTS; step < 0 || step > 60*time.Millisecond {
			t.Errorf("Opus packet %d comes %v after the one before", i, step)
		}
	}
	// Sound and picture of one moment are together: both begin with the file.
	if first := frames[0].PTS; first > 40*time.Millisecond {
		t.Errorf("sound begins at %v", first)
	}
}

func TestRate(t *testing.T) {
	stream := plain("-map", "0:v", "-r", "10", "-f", "h264")
	for _, tt := range []struct {
		name string
		args []string
		rate float64
		want time.Duration
	}{
		{"from the SPS", stream, 0, 100 * time.Millisecond},
		{"by option", stream, 50, 20 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := play(t, open(t, file.Options{Path: clip(t, "a.h264", tt.args...), Rate: tt.rate}), time.Second)
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if got := out.frames[1].PTS - out.frames[0].PTS; got != tt.want {
				t.Errorf("frames are %v apart, want %v", got, tt.want)
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	good := read(clip(t, "good.mp4", plain("-map", "0:v")...))
	front := read(clip(t, "front.mp4", plain("-map", "0:v", "-movflags", "faststart")...))
	for _, tt := range []struct {
		name string
		path string
		want string
	}{
		{"missing", filepath.Join(dir, "nowhere.mp4"), "no such file or directory; hint: check the path"},
		{"directory", dir, "not a regular file"},
		{"empty", write("empty.mp4", nil), "the file is empty"},
		{"text", write("notes.mp4", []byte("hello, this is no video at all")),
			"neither MP4, an H.264 byte stream nor Ogg"},
		{"cut off before its index", write("cut.mp4", good[:len(good)/2]), "hint: "},
		{"cut off behind its index", write("cut2.mp4", front[:len(front)-2000]), "is the file cut off?"},
		{"H.265", clip(t, "a.mp4", "-map", "0:v", "-c:v", "libx265", "-x265-params", "log-level=none"),
			"video is H.265 (hev1), not H.264"},
		{"no video", clip(t, "a.m4a", "-map", "1:a", "-c:a", "libopus", "-f", "mp4"), "no video track"},
		{"B-frames in MP4", clip(t, "b.mp4", "-map", "0:v", "-c:v", "libx264", "-bf", "3"),
			"B-frames, which WebRTC cannot carry"},
		{"B-frames in fragments", clip(t, "bf.mp4", "-map", "0:v", "-c:v", "libx264", "-bf", "3", "-movflags",
			"frag_keyframe+empty_moov"), "B-frames"},
		{"B-frames in a stream", clip(t, "b.h264", "-map", "0:v", "-c:v", "libx264", "-bf", "3"), "B-frames"},
		{"10 bits", clip(t, "ten.mp4", "-map", "0:v", "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p10le"),
			"10 bits a sample"},
		{"4:2:2 stream", clip(t, "422.h264", "-map", "0:v", "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv422p"),
			"4:2:2 (profile 122)"},
		{"H.265 stream", clip(t, "a.265", "-map", "0:v", "-c:v", "libx265", "-x265-params", "log-level=none", "-f",
			"hevc"), "hint: is it H.265"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := play(t, open(t, file.Options{Path: tt.path}), time.Hour)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
				t.Fatalf("Run = %v, want the path and %q", err, tt.want)
			}
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("Run = %q, want one line", err)
			}
			var slow interface{ Slow() bool }
			if !errors.As(err, &slow) || !slow.Slow() {
				t.Errorf("Run = %v is not slow: trying again soon does not help", err)
			}
		})
	}
}

// turn writes the matrix of a file's track: a, b, u, c, d, v, x, y, w (ISO/IEC 14496-12, 8.3.2).
func turn(t *testing.T, data []byte, matrix [4]int32) []byte {
	t.Helper()
	data = bytes.Clone(data)
	at := bytes.Index(data, []byte("tkhd"))
	if at < 0 || data[at+4] != 0 {
		t.Fatal("no tkhd of version 0")
	}
	at += 4 + 4 + 20 + 16 // version, times and id, and what is of sound
	for i, v := range []int32{matrix[0], matrix[1], 0, matrix[2], matrix[3]} {
		binary.BigEndian.PutUint32(data[at+4*i:], uint32(v))
	}
	return data
}

// TestTurned: pictures that are to be turned are refused, since viewers would show them lying on their side.
func TestTurned(t *testing.T) {
	good, err := os.ReadFile(clip(t, "good.mp4", plain("-map", "0:v")...))
	if err != nil {
		t.Fatal(err)
	}
	const one = 1 << 16
	for want, matrix := range map[string][4]int32{
		"":                        {one, 0, 0, one},
		"turned by 90 degrees":    {0, one, -one, 0},
		"turned by 180 degrees":   {-one, 0, 0, -one},
		"turned by 270 degrees":   {0, -one, one, 0},
		"or mirrored":             {-one, 0, 0, one},
		"turned by other than 90": {one / 2, one / 2, -one / 2, one / 2},
	} {
		path := filepath.Join(t.TempDir(), "a.mp4")
		if err := os.WriteFile(path, turn(t, good, matrix), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := play(t, open(t, file.Options{Path: path}), time.Second)
		if want == "" {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("upright: %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "; hint: ffmpeg") {
			t.Errorf("%v: %v, want %q", matrix, err, want)
		}
	}
}

// TestThumbnail: the video is played, not the thumbnail before it, and not the one behind it.
func TestThumbnail(t *testing.T) {
	for name, args := range map[string][]string{
		"JPEG first": {"-map", "[a]", "-map", "[b]", "-c:v:0", "mjpeg", "-c:v:1", "libx264",
			"-frames:v:0", "1"},
		"H.264 first, one picture": {"-map", "[a]", "-map", "[b]", "-c:v", "libx264", "-frames:v:0", "1"},
		"H.264 first, smaller":     {"-map", "[a]", "-map", "[b]", "-c:v", "libx264"},
		"H.264 last":               {"-map", "[b]", "-map", "[a]", "-c:v", "libx264"},
	} {
		path := clip(t, "a.mp4", append([]string{"-filter_complex", "[0:v]split[x][b];[x]scale=160:120[a]", "-pix_fmt",
			"yuv420p", "-bf", "0", "-g", "25", "-strict", "unofficial"}, args...)...)
		out, err := play(t, open(t, file.Options{Path: path}), time.Second)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v := out.tracks[0][0]; v.Width != 320 || len(out.of(media.H264)) < 25 {
			t.Errorf("%s: %d pictures of %d x %d", name, len(out.of(media.H264)), v.Width, v.Height)
		}
	}
}

// TestAVC3: H.264 with its parameter sets in the stream, plain and in fragments, and with none in its description.
func TestAVC3(t *testing.T) {
	for name, args := range map[string][]string{
		"plain":     nil,
		"fragments": {"-movflags", "frag_keyframe+empty_moov+default_base_moof"},
	} {
		data, err := os.ReadFile(clip(t, "a.mp4", plain(append([]string{"-map", "0:v", "-x264-params",
			"repeat-headers=1"}, args...)...)...))
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.ReplaceAll(data, []byte("avc1"), []byte("avc3"))
		for _, bare := range []bool{false, true} {
			if at := bytes.Index(data, []byte("avcC")); bare {
				data[at+9], data[at+10] = 0xe0, 0 // no SPS, no PPS; the rest is not read
			}
			path := filepath.Join(t.TempDir(), "a.mp4")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := play(t, open(t, file.Options{Path: path}), 5*time.Second)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s, bare %v: %v", name, bare, err)
				continue
			}
			checkVideo(t, out)
		}
	}
}

// TestMP3: sound of another kind than AAC in an mp4a is called by its name, and transcoded if there is a transcoder.
func TestMP3(t *testing.T) {
	path := clip(t, "a.mp4", plain("-c:a", "libmp3lame")...)
	var log bytes.Buffer
	src := open(t, file.Options{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := play(t, src, time.Second); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "MP3 (mp4a) cannot be sent to browsers") {
		t.Errorf("log: %s", log.String())
	}
	out, err := play(t, open(t, file.Options{Path: path, Foreign: true}), time.Second)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if sound := out.of(es.MPA); len(sound) < 30 || sound[0].Data[0][0] != 0xff {
		t.Errorf("%d frames of MP3", len(sound))
	}
	_, err = play(t, open(t, file.Options{Path: clip(t, "a.mp3", "-map", "1:a", "-c:a", "libmp3lame")}), time.Second)
	if err == nil || !strings.Contains(err.Error(), "an MP3, which browsers do not take") {
		t.Errorf("a file of MP3: %v", err)
	}
}

// TestCutFragments plays the complete part of a recording that a crash cut off.
func TestCutFragments(t *testing.T) {
	path := clip(t, "a.mp4", plain("-map", "0:v", "-movflags", "frag_keyframe+empty_moov+default_base_moof")...)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()*3/4); err != nil {
		t.Fatal(err)
	}
	out, err := play(t, open(t, file.Options{Path: path}), 3*time.Second)
	if !errors.Is(err, context.Canceled) || len(out.frames) < 75 {
		t.Errorf("Run = %v after %d frames", err, len(out.frames))
	}
}

// TestSilence: the log says once, not in each run, why there is no sound.
func TestSilence(t *testing.T) {
	var log bytes.Buffer
	src := open(t, file.Options{Path: clip(t, "a.mp4", plain("-c:a", "aac")...),
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		if _, err := play(t, src, time.Second); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 ||
		!strings.Contains(log.String(), "AAC (mp4a) cannot be sent to browsers") {
		t.Errorf("log = %s, want one line about AAC", log.String())
	}
}

// TestSizeChange announces new parameter sets before the frame that has them.
func TestSizeChange(t *testing.T) {
	small := clip(t, "small.h264", plain("-map", "0:v", "-s", "160x120", "-f", "h264")...)
	large := clip(t, "large.h264", plain("-map", "0:v", "-f", "h264")...)
	both := filepath.Join(t.TempDir(), "both.h264")
	w, err := os.Create(both)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{small, large} {
		r, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	w.Close()
	out, err := play(t, open(t, file.Options{Path: both}), 5*time.Second)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var got []int
	for _, tracks := range out.tracks {
		got = append(got, tracks[0].Width)
	}
	if len(got) != 3 || got[0] != 160 || got[1] != 320 || got[2] != 160 {
		t.Errorf("widths announced = %v, want 160, 320, and 160 for the next pass", got)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want file.Options
		err  string
	}{
		{"file:rel.mp4", file.Options{Path: "rel.mp4"}, ""},
		{"file:dir/a b.mp4", file.Options{Path: "dir/a b.mp4"}, ""},
		{"file:/abs/path.mp4", file.Options{Path: "/abs/path.mp4"}, ""},
		{"file:///abs/path.mp4", file.Options{Path: "/abs/path.mp4"}, ""},
		{"file://localhost/abs.mp4", file.Options{Path: "/abs.mp4"}, ""},
		{"file:a%20b.mp4", file.Options{Path: "a b.mp4"}, ""},
		{"file:a.h264?rate=29.97", file.Options{Path: "a.h264", Rate: 29.97}, ""},
		{"file://server/share.mp4", file.Options{}, "another host"},
		{"file:", file.Options{}, "without a path"},
		{"file:///", file.Options{}, "without a path"},
		{"rtsp://host/", file.Options{}, "hint: write file:"},
		{"file:a.h264?rate=0", file.Options{}, "rate"},
		{"file:a.h264?rate=NaN", file.Options{}, "rate"},
		{"file:a.h264?rate=1e9", file.Options{}, "0.1 to 240"},
		{"file:a.h264?rate=25x", file.Options{}, "rate"},
		{"file:a.h264?speed=2", file.Options{}, "unknown"},
		{"file:100%.mp4", file.Options{}, "percent"},
	} {
		got, err := file.Parse(tt.url)
		if tt.err == "" && (err != nil || got != tt.want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tt.url, got, err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("Parse(%q) = %v, want an error with %q", tt.url, err, tt.err)
		}
	}
}
