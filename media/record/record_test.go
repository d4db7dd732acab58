package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s (a test needs it: apt-get install ffmpeg): %v\n%s", name, err, problems.String())
	}
	if problems.Len() > 0 {
		t.Errorf("%s complains: %s", name, problems.String())
	}
	return out.Bytes()
}

// pictures makes frames with libx264: n of them, 25 a second, a key frame each second, from PTS begin.
func pictures(t *testing.T, n int, begin time.Duration, size string) (frames []*media.Frame) {
	t.Helper()
	stream := command(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s="+size+":r=25", "-frames:v",
		strconv.Itoa(n), "-c:v", "libx264",
		"-profile:v", "baseline", "-pix_fmt", "yuv420p", "-g", "25", "-preset", "ultrafast", "-f", "h264", "-")
	r := h264.NewReader(bytes.NewReader(stream))
	var params h264.Params
	for {
		au, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if u, ok := params.Next(au); ok {
			frames = append(frames, &media.Frame{Codec: media.H264,
				PTS: begin + time.Duration(len(frames))*40*time.Millisecond, Key: u.Key, Data: u.NALs})
		}
	}
	if len(frames) != n {
		t.Fatalf("%d frames, want %d", len(frames), n)
	}
	return frames
}

// tone makes n Opus packets of 20 ms from PTS begin.
func tone(t *testing.T, n int, begin time.Duration) (frames []*media.Frame) {
	t.Helper()
	data := command(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=r=48000", "-t", "10", "-map", "0:a", "-c:a",
		"libopus", "-vbr", "off", "-b:a", "64k",
		"-frame_duration", "20", "-f", "data", "-")
	for i := range n {
		frames = append(frames, &media.Frame{Codec: media.Opus, PTS: begin + time.Duration(i)*20*time.Millisecond,
			Data: [][]byte{data[160*i : 160*(i+1)]}})
	}
	return frames
}

// mix orders frames as a source does.
func mix(video, audio []*media.Frame) (all []*media.Frame) {
	for len(video)+len(audio) > 0 {
		if len(audio) == 0 || len(video) > 0 && video[0].PTS <= audio[0].PTS {
			all, video = append(all, video[0]), video[1:]
		} else {
			all, audio = append(all, audio[0]), audio[1:]
		}
	}
	return all
}

// probed is ffprobe's output.
type probed struct {
	Streams []struct {
		Codec    string `json:"codec_name"`
		Width    int
		Height   int
		Channels int
		Frames   string `json:"nb_read_frames"`
		Packets  string `json:"nb_read_packets"`
		Rate     string `json:"avg_frame_rate"`
	}
	Packets []struct {
		Kind  string `json:"codec_type"`
		PTS   string `json:"pts_time"`
		Flags string
	}
	Format struct {
		Name     string `json:"format_name"`
		Duration string
	}
}

func probe(t *testing.T, path string) (p probed) {
	t.Helper()
	out := command(t, "ffprobe", "-v", "warning", "-count_frames", "-count_packets", "-show_streams", "-show_packets",
		"-show_format", "-of", "json", path)
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	// Decoding shows whether the pictures are intact.
	command(t, "ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "null", "-")
	return p
}

func seconds(t *testing.T, text string) float64 {
	t.Helper()
	s, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write records frames and returns the file. In the bubble the writer keeps up, though frames come faster than in real
// time.
func write(t *testing.T, tracks []media.Track, frames []*media.Frame) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.mp4")
	synctest.Test(t, func(t *testing.T) {
		w, err := record.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w.Tracks(tracks)
		feed(w, frames)
		if err := w.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
		if n := w.Dropped(); n != 0 {
			t.Errorf("%d frames dropped", n)
		}
	})
	return path
}

// feed writes frames and waits until they are on the disk. It is for bubbles.
func feed(w *record.Writer, frames []*media.Frame) {
	for i, f := range frames {
		w.Write(f)
		if i%100 == 0 {
			synctest.Wait()
		}
	}
	synctest.Wait()
}

func TestRecord(t *testing.T) {
	both := []media.Track{{Codec: media.H264}, {Codec: media.Opus, Channels: 1}}
	const begin = 7*time.Second + 123*time.Millisecond // recordings begin when somebody wants one
	video, audio := pictures(t, 130, begin, "320x240"), tone(t, 260, begin)
	for _, tt := range []struct {
		name   string
		tracks []media.Track
		frames []*media.Frame
		video  int // frames recorded
		audio  int
	}{
		{"video and audio", both, mix(video, audio), 130, 260},
		{"from the first key frame", both, mix(video[10:], audio[20:]), 105, 210},
		{"video only", both[:1], video, 130, 0},
		{"audio only", both[1:], audio, 0, 260},
		{"audio that never comes", both, video, 130, 0},
		{"one frame", both, video[:1], 1, 0},
		{"parameter sets known before",
			[]media.Track{{Codec: media.H264, SPS: video[0].Data[0], PPS: video[0].Data[1]}}, video, 130, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := probe(t, write(t, tt.tracks, tt.frames))
			if p.Format.Name != "mov,mp4,m4a,3gp,3g2,mj2" {
				t.Errorf("format = %s", p.Format.Name)
			}
			for _, s := range p.Streams {
				want, codec := tt.video, "h264"
				if s.Channels > 0 {
					want, codec = tt.audio, "opus"
				}
				if s.Codec != codec {
					t.Errorf("codec = %s, want %s", s.Codec, codec)
				}
				if want > 0 && s.Packets != strconv.Itoa(want) {
					t.Errorf("%s packets of %s, want %d", s.Packets, s.Codec, want)
				}
				if codec == "h264" && (s.Frames != strconv.Itoa(want) || s.Width != 320 || s.Height != 240) {
					t.Errorf("%s pictures of %d x %d decoded, want %d of 320 x 240", s.Frames, s.Width, s.Height, want)
				}
				if codec == "h264" && want > 1 && s.Rate != "25/1" {
					t.Errorf("rate = %s, want 25/1", s.Rate)
				}
			}
			if len(p.Streams) != len(tt.tracks) {
				t.Errorf("%d streams, want %d", len(p.Streams), len(tt.tracks))
			}
			checkTimes(t, p)
			want := max(float64(tt.video)*0.04, float64(tt.audio)*0.02)
			if got := seconds(t, p.Format.Duration); math.Abs(got-want) > 0.021 {
				t.Errorf("duration = %v s, want %v", got, want)
			}
		})
	}
}

// checkTimes wants samples that follow each other without holes, and key frames once a second.
func checkTimes(t *testing.T, p probed) {
	t.Helper()
	end := map[string]float64{}
	n := 0
	for _, pkt := range p.Packets {
		pts := seconds(t, pkt.PTS)
		if math.Abs(pts-end[pkt.Kind]) > 0.0001 {
			t.Errorf("%s packet at %v s, want it at %v", pkt.Kind, pts, end[pkt.Kind])
		}
		end[pkt.Kind] = pts + map[string]float64{"video": 0.04, "audio": 0.02}[pkt.Kind]
		if pkt.Kind == "video" {
			if key := strings.HasPrefix(pkt.Flags, "K"); key != (n%25 == 0) {
				t.Errorf("picture %d: key = %t", n, key)
			}
			n++
		}
	}
}

// TestGap: frames that were lost leave the one before standing longer; nothing after them moves.
func TestGap(t *testing.T) {
	video := pictures(t, 75, 0, "320x240")
	p := probe(t, write(t, []media.Track{{Codec: media.H264}}, append(video[:10:10], video[50:]...)))
	if got := seconds(t, p.Packets[10].PTS); got != 2 {
		t.Errorf("the picture after the gap is at %v s, want 2", got)
	}
	if got := seconds(t, p.Format.Duration); got != 3 {
		t.Errorf("duration = %v s, want 3", got)
	}
}

// TestSizeChange: the new parameter sets are in the stream, where decoders find them.
func TestSizeChange(t *testing.T) {
	small := pictures(t, 25, time.Second, "160x120")
	path := write(t, []media.Track{{Codec: media.H264}}, append(pictures(t, 25, 0, "320x240"), small...))
	if p := probe(t, path); p.Streams[0].Frames != "50" {
		t.Errorf("%s pictures decoded, want 50", p.Streams[0].Frames)
	}
}

// TestCrash: the part that was written before a power failure is playable.
func TestCrash(t *testing.T) {
	path, copied := filepath.Join(t.TempDir(), "a.mp4"), filepath.Join(t.TempDir(), "b.mp4")
	video := pictures(t, 80, 0, "320x240")
	synctest.Test(t, func(t *testing.T) {
		w, err := record.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w.Tracks([]media.Track{{Codec: media.H264}})
		feed(w, video)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if p := probe(t, copied); p.Streams[0].Frames != "75" {
		t.Errorf("%s pictures in an unfinished file, want 75: the whole fragments", p.Streams[0].Frames)
	}
}

// TestOtherCodecs leaves out unsupported codecs, and logs that once.
func TestOtherCodecs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mp4")
	w, err := record.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	tracks := []media.Track{{Codec: media.H264}, {Codec: media.PCMU}}
	w.Tracks(tracks)
	w.Tracks(tracks)
	for _, f := range pictures(t, 25, 0, "320x240") {
		w.Write(f)
		w.Write(&media.Frame{Codec: media.PCMU, PTS: f.PTS, Data: [][]byte{make([]byte, 320)}})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := w.Frames(); n != 25 {
		t.Errorf("Frames = %d, want 25", n)
	}
	if p := probe(t, path); len(p.Streams) != 1 || p.Streams[0].Frames != "25" {
		t.Errorf("streams = %+v, want 25 pictures", p.Streams)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "codec=PCMU") {
		t.Errorf("log = %s, want one line about PCMU", log.String())
	}
}

func TestNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames []*media.Frame
	}{
		{"no frames", nil},
		{"no key frame", pictures(t, 25, 0, "320x240")[1:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.mp4")
			w, err := record.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w.Tracks([]media.Track{{Codec: media.H264}})
			for _, f := range tt.frames {
				w.Write(f)
			}
			if err := w.Close(); !errors.Is(err, record.ErrNothing) || !strings.Contains(err.Error(), path) {
				t.Errorf("Close = %v, want ErrNothing and the path", err)
			}
			if err := w.Close(); !errors.Is(err, record.ErrNothing) {
				t.Errorf("second Close = %v", err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the empty file is still there: %v", err)
			}
		})
	}
}

func TestDisk(t *testing.T) {
	if _, err := record.Create(filepath.Join(t.TempDir(), "nowhere", "a.mp4")); err == nil ||
		!strings.Contains(err.Error(), "hint: the directory must exist") {
		t.Errorf("Create in a directory that is missing = %v", err)
	}
	video := pictures(t, 75, 0, "320x240")
	synctest.Test(t, func(t *testing.T) {
		w, err := record.Create("/dev/full") // each write ends with "no space left on device"
		if err != nil {
			t.Fatal(err)
		}
		w.Tracks([]media.Track{{Codec: media.H264}})
		feed(w, video)
		if w.Err() == nil {
			t.Error("Err = nil while the recording runs")
		}
		if err := w.Close(); err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("Close = %v, want no space left on device", err)
		}
	})
}

// TestSlowDisk: a writer that cannot keep up drops frames and continues with the next key frame; Write never waits.
func TestSlowDisk(t *testing.T) {
	out := &slowFile{}
	video := pictures(t, 25, 0, "320x240")
	frame := func(n int) *media.Frame {
		f := *video[n%25]
		f.PTS = time.Duration(n) * 40 * time.Millisecond
		return &f
	}
	synctest.Test(t, func(t *testing.T) {
		out.gate = make(chan struct{})
		w := record.NewWriter(out)
		w.Log = slog.New(slog.DiscardHandler)
		w.Tracks([]media.Track{{Codec: media.H264}})
		for n := range 1000 {
			w.Write(frame(n))
		}
		if w.Dropped() < 400 {
			t.Errorf("Dropped = %d of 1000 frames with the disk standing still and room for 512", w.Dropped())
		}
		close(out.gate)
		synctest.Wait()
		for n := 1001; n < 1050; n++ { // not a key frame at first
			w.Write(frame(n))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if int(w.Frames()+w.Dropped()) != 1049 {
			t.Errorf("%d recorded and %d dropped of 1049", w.Frames(), w.Dropped())
		}
	})
	path := filepath.Join(t.TempDir(), "a.mp4")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := probe(t, path) // decoding complains of a picture whose reference is missing
	if got := seconds(t, p.Packets[len(p.Packets)-1].PTS); math.Abs(got-41.96) > 0.001 {
		t.Errorf("the last picture is at %v s, want 41.96", got)
	}
}

// slowFile stands still until gate is closed.
type slowFile struct {
	gate chan struct{}
	bytes.Buffer
}

func (f *slowFile) Write(p []byte) (int, error) {
	<-f.gate
	return f.Buffer.Write(p)
}
func (f *slowFile) Close() error { return nil }

// TestConcurrentClose: frames may still come while somebody closes, and later.
func TestConcurrentClose(t *testing.T) {
	w, err := record.Create(filepath.Join(t.TempDir(), "a.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	w.Tracks([]media.Track{{Codec: media.H264}})
	frames := pictures(t, 50, 0, "320x240")
	w.Write(frames[0])
	done := make(chan error)
	go func() { done <- w.Close() }()
	for _, f := range frames[1:] {
		w.Write(f)
		w.Tracks([]media.Track{{Codec: media.H264}})
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
