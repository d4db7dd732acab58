package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/pipe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	input = "exec:ffmpeg -v error -re -f lavfi -i testsrc2=s=320x240:r=25 -re -f lavfi -i sine=r=48000 -pix_fmt " +
		"yuv420p -g 25 "
	x264 = "-map 0:v -c:v libx264 -preset ultrafast -tune zerolatency "
	opus = "-map 1:a -c:a libopus -frame_duration 20 "
	aac  = "-map 1:a -c:a aac "
)

func source(t testing.TB, url string, log *slog.Logger) media.Source {
	t.Helper()
	o, err := pipe.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = log
	s, err := pipe.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every format that a command may write keeps the promises of a source. Two formats at least have no clock of their
// own.
func TestSource(t *testing.T) {
	for name, args := range map[string]string{
		"h264": x264 + "-f h264 -",
		"h265": "-map 0:v -c:v libx265 -preset ultrafast -tune zerolatency -x265-params " +
			"log-level=none:bframes=0:keyint=25 -f hevc -",
		"vp8":    "-map 0:v -c:v libvpx -deadline realtime -cpu-used 8 -f ivf -flush_packets 1 -",
		"mpegts": x264 + opus + "-f mpegts -flush_packets 1 -",
		"mp4":    x264 + opus + "-f mp4 -movflags frag_every_frame+empty_moov+default_base_moof -flush_packets 1 -",
		"ogg":    opus + "-f ogg -page_duration 20000 -flush_packets 1 -",
	} {
		t.Run(name, func(t *testing.T) {
			mediatest.Source(t,
				func(t *testing.T) media.Source { return source(t, input+args, slog.New(slog.DiscardHandler)) })
		})
	}
}

// A command that reads a file writes as fast as it can. It is held back, so that the hub and the viewers are not
// flooded.
func TestPace(t *testing.T) {
	for name, url := range map[string]string{
		"mpegts": strings.ReplaceAll(input, "-re ", "") + x264 + opus + "-f mpegts -",
		"h264":   strings.ReplaceAll(input, "-re ", "") + x264 + "-f h264 -",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		r := &recorder{enough: 50, cancel: cancel}
		err := source(t, url, slog.New(slog.DiscardHandler)).Run(ctx, r)
		cancel()
		if took := r.took(); took < 1300*time.Millisecond || err != context.Canceled {
			t.Errorf("%s: 50 pictures, two seconds, took %v; %v", name, took, err)
		}
	}
}

// AAC becomes Opus, in step with the pictures.
func TestTranscode(t *testing.T) {
	for name, args := range map[string]string{"aac": aac + "-f mpegts -", "mp2": "-map 1:a -c:a mp2 -f mpegts -"} {
		t.Run(name, func(t *testing.T) {
			mediatest.Source(t, func(t *testing.T) media.Source { return transcoded(t, x264+args) })
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			r := &recorder{}
			_ = transcoded(t, x264+args).Run(ctx, r)
			video, audio := r.last(media.H264), r.last(media.Opus)
			if n := r.count(media.Opus); n < 100 || audio < video-700*time.Millisecond ||
				audio > video+300*time.Millisecond {
				t.Errorf("%d packets of sound, up to %v, when the picture was at %v", n, audio, video)
			}
		})
	}
}

func transcoded(t *testing.T, args string) media.Source {
	t.Helper()
	o, err := pipe.Parse(input + args)
	if err != nil {
		t.Fatal(err)
	}
	o.Foreign, o.Log = true, slog.New(slog.DiscardHandler)
	s, err := pipe.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return pipe.Transcode(s, o.Log)
}

// Without transcoding AAC is left out, and the log says what to do.
func TestSilence(t *testing.T) {
	var log lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{enough: 30, cancel: cancel}
	_ = source(t, input+x264+aac+"-f mpegts -", slog.New(slog.NewTextHandler(&log, nil))).Run(ctx, r)
	if !strings.HasPrefix(r.note, "no sound: browsers do not take AAC") {
		t.Errorf("note %q", r.note)
	}
	if r.count(media.H264) < 30 || len(r.tracks) != 1 || !strings.Contains(log.String(), "audio: transcode") {
		t.Errorf("%d pictures, tracks %v, log %s", r.count(media.H264), r.tracks, log.String())
	}
}

// What is wrong with a command is said in its own words.
func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		url, want string
		slow      bool
	}{
		"not there": {"exec:no-such-program -x",
			`exec source no-such-program: exec: "no-such-program": executable file not found in $PATH; hint: install it`, true},
		"exit status": {`exec:sh -c "echo no camera here >&2; exit 3"`,
			"exec source sh: exit status 3: no camera here; hint: run the command by hand", false},
		"busy": {`exec:sh -c "echo '/dev/video0: Device or resource busy' >&2; exit 1"`,
			"exit status 1: /dev/video0: Device or resource busy; hint: another program uses the device", false},
		"pulled out": {`exec:sh -c "echo 'ioctl(VIDIOC_DQBUF): Input/output error' >&2"`,
			"it ended (exit status 0): ioctl(VIDIOC_DQBUF): Input/output error; hint: the device does not answer",
			false},
		"ended":      {`exec:true`, "exec source true: it ended (exit status 0); hint: run", false},
		"no picture": {`exec:sh -c "echo Usage: camera; sleep 100"`, `exec source sh: neither H.264`, true},
		"text says": {`exec:sh -c "echo bad option --x >&2; echo Usage: camera"`,
			`it says: bad option --x; hint: end the command with -f mpegts -`, true},
		"b-frames": {strings.ReplaceAll(input, "-re ", "") +
			"-map 0:v -c:v libx264 -bf 2 -b_strategy 0 -f mpegts -", "hint: add -bf 0", true},
		"4:4:4": {strings.ReplaceAll(input, "-re ", "") + x264 + "-pix_fmt yuv444p -f mpegts -",
			"hint: add -pix_fmt yuv420p", true},
		"unplugged": {"v4l2:/dev/v4l/by-id/no-such-camera",
			"exec source v4l2:/dev/v4l/by-id/no-such-camera: /dev/v4l/by-id/no-such-camera: no such file or " +
				"directory; hint: is the camera plugged in?", false},
		"no camera": {"v4l2:/dev/null", "not a camera that gives pictures", false},
		"killed":    {`exec:sh -c "kill -9 $$"`, "signal: killed", false},
		"short stream": {strings.ReplaceAll(input, "-re ", "") + x264 + "-t 0.2 -f mpegts -",
			"it ended (exit status 0)", false},
	} {
		err := source(t, tt.url, slog.New(slog.DiscardHandler)).Run(t.Context(), &recorder{})
		var slow interface{ Slow() bool }
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &slow) || slow.Slow() != tt.slow {
			t.Errorf("%s:\nhave %v\nwant %s", name, err, tt.want)
		}
	}
}

// Fault 97: a command that ignores SIGTERM, one that is stopped, and one that leaves children behind are gone when Run
// returns.
func TestEnd(t *testing.T) {
	for name, script := range map[string]string{
		"deaf":    `trap "" TERM; echo $$ >$PIDS; sleep 1000 & echo $! >>$PIDS; wait; wait; sleep 1000`,
		"stopped": `echo $$ >$PIDS; kill -STOP $$; sleep 1000`,
		"escaped": `export PIDS; setsid sh -c 'trap "" TERM; echo $$ >$PIDS; exec sleep 1000' & ` +
			`while [ ! -s ${PIDS} ]; do sleep 0.01; done; echo $$ >>$PIDS; wait`,
		"children": `sleep 1000 & echo $! >$PIDS; (trap "" TERM; sleep 1000) & echo $! >>$PIDS; echo $$ >>$PIDS; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pids")
			o := pipe.Options{Command: pipe.Line("sh", "-c", "PIDS="+file+"; "+script),
				Log: slog.New(slog.DiscardHandler)}
			s, err := pipe.New(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			end := make(chan error, 1)
			go func() { end <- s.Run(ctx, &recorder{}) }()
			pids := await(t, file, strings.Count(script, "$PIDS"))
			cancel()
			begin := time.Now()
			if err := <-end; !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v", err)
			}
			if d := time.Since(begin); d > 3*time.Second {
				t.Errorf("it took %v", d)
			}
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("process %d is still there", pid)
				}
			}
		})
	}
}

// Fault 96: a driver that delivers no more pictures, while the command waits for it, is detected after three seconds;
// the command is then gone.
func TestStall(t *testing.T) {
	clip := filepath.Join(t.TempDir(), "clip.h264")
	if out, err := exec.Command("ffmpeg",
		strings.Fields("-v error -f lavfi -i testsrc2=s=64x64:r=25:d=1 -pix_fmt yuv420p -bf 0 "+
			"-c:v libx264 "+clip)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v\n%s", err, out)
	}
	pids := filepath.Join(t.TempDir(), "pids")
	s, err := pipe.New(pipe.Options{
		Command: pipe.Line("sh", "-c", "echo $$ >"+pids+"; cat "+clip+"; exec sleep 1000"), Name: "v4l2:/dev/video0",
		Stall: 500 * time.Millisecond,
		Log:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	err = s.Run(t.Context(), r)
	if want := "exec source v4l2:/dev/video0: no picture for 500ms; hint: the device hangs"; err == nil ||
		!strings.HasPrefix(err.Error(), want) || r.count(media.H264) < 20 {
		t.Errorf("%d pictures, then %v, want %s", r.count(media.H264), err, want)
	}
	for _, pid := range await(t, pids, 1) {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// Fault 95: a camera that systemd does not let us open, because its driver came after our start, needs exactly one
// restart.
func TestLateDriver(t *testing.T) {
	for _, tt := range []struct {
		err               error
		then, now, helped bool
	}{
		{unix.EPERM, false, true, true},
		{unix.EPERM, true, true, false}, // the unit has no DeviceAllow
		{unix.EPERM, false, false, false},
		{unix.EACCES, false, true, false},
		{unix.ENOENT, false, true, false},
	} {
		err := pipe.Late(fmt.Errorf("/dev/video0: %w", tt.err), tt.then, tt.now)
		var r interface{ Restart() bool }
		if helped := errors.As(err, &r) && r.Restart(); helped != tt.helped || !errors.Is(err, tt.err) {
			t.Errorf("%+v: %v, a restart helps: %t", tt, err, helped)
		}
		if strings.Contains(err.Error(), "modules-load.d") != tt.helped {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// await reads n process numbers from a file as soon as they are there.
func await(t *testing.T, file string, n int) []int {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(file)
		if fields := strings.Fields(string(data)); len(fields) == n && data[len(data)-1] == '\n' {
			var pids []int
			for _, f := range fields {
				pid, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			return pids
		}
	}
	t.Fatalf("no %d process numbers in %s", n, file)
	return nil
}

// alive reports whether a process runs. One that has ended and whose new parent has not yet looked is as good as gone.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(syscall.Kill(pid, 0), nil)
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return len(after) > 0 && after[0] != 'Z' && after[0] != 'X'
}

// A command gets three descriptors and none of our secrets, and no zombie is left of it.
func TestNothingIsPassedOn(t *testing.T) {
	secret, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if _, err := unix.FcntlInt(secret.Fd(), unix.F_SETFD, 0); err != nil { // as one that we were started with
		t.Fatal(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	t.Setenv("NOTIFY_SOCKET", "canary")
	t.Setenv("KVSAGENT_KEPT", "kept")
	var log lockedBuffer
	s := source(t, `exec:sh -c 'ls -C /proc/self/fd >&2; env | grep -E "canary|KEPT" >&2'`,
		slog.New(slog.NewTextHandler(&log, nil)))
	if err := s.Run(t.Context(), &recorder{}); err == nil {
		t.Error("no error")
	}
	if text := log.String(); !strings.Contains(text, `"0  1  2  3"`) || !strings.Contains(text, "KEPT=kept") ||
		strings.Contains(text, "canary") {
		t.Errorf("log: %s", text)
	}
	kids, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err == nil && len(bytes.TrimSpace(kids)) > 0 {
		t.Errorf("children: %s", kids)
	}
}

// Fault 97: a flood on stderr costs ten lines, which are short and hold no password.
func TestStderr(t *testing.T) {
	var log lockedBuffer
	script := `for i in 1 2 3; do echo "open rtsp://me:s3cret@192.0.2.1/x: refused" >&2; done; head -c 100000 /dev/zero | tr '\0' x >&2; yes | head -n 100000 >&2`
	s := source(t, `exec:sh -c "`+strings.ReplaceAll(script, `"`, `\"`)+`"`, slog.New(slog.NewTextHandler(&log, nil)))
	err := s.Run(t.Context(), &recorder{})
	text := log.String()
	if n := strings.Count(text, "\n"); n != 11 || len(text) > 5000 || !strings.Contains(text, "lines=") {
		t.Errorf("%d lines, %d bytes: %s", n, len(text), text)
	}
	if strings.Contains(text, "s3cret") || !strings.Contains(text, "rtsp://...@192.0.2.1/x: refused") {
		t.Errorf("log: %s", text)
	}
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}

// recorder is a sink that counts.
type recorder struct {
	mu     sync.Mutex
	tracks []media.Track
	note   string
	n      map[media.Codec]int
	pts    map[media.Codec]time.Duration
	enough int // pictures after which cancel is called
	cancel func()
	begin  time.Time
	end    time.Time
}

func (r *recorder) Tracks(tracks []media.Track) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = tracks
}

func (r *recorder) Note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note = text
}

func (r *recorder) Write(f *media.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == nil {
		r.n, r.pts = map[media.Codec]int{}, map[media.Codec]time.Duration{}
		r.begin = time.Now()
	}
	r.n[f.Codec]++
	r.pts[f.Codec] = f.PTS
	if r.enough > 0 && f.Codec.Video() && r.n[f.Codec] == r.enough {
		r.end = time.Now()
		r.cancel()
	}
}

// took returns how long it was from the first frame to enough.
func (r *recorder) took() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end.Sub(r.begin)
}

func (r *recorder) count(c media.Codec) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[c]
}

func (r *recorder) last(c media.Codec) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pts[c]
}

// lockedBuffer is where a log goes that more than one goroutine writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
