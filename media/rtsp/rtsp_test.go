package rtsp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	formatOpus = &format.Opus{PayloadTyp: 97, ChannelCount: 1}
	formatPCMU = &format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}
	formatPCMA = &format.G711{PayloadTyp: 8, MULaw: false, SampleRate: 8000, ChannelCount: 1}
)

func baseline(t testing.TB, more ...string) clip {
	return encode(t, append([]string{"-profile:v", "baseline"}, more...)...)
}

func TestConformance(t *testing.T) {
	cam := (&camera{t: t, video: []clip{baseline(t)}, audio: formatOpus, sound: opus(t)}).start("127.0.0.1:0")
	mediatest.Source(t, func(t *testing.T) media.Source {
		s, _ := source(t, rtsp.Options{URL: cam.url()})
		return s
	})
}

// TestPassThrough compares the frames with the encoder's output, byte for byte, over a wrap of the RTP timestamps.
func TestPassThrough(t *testing.T) {
	video := baseline(t)
	bare := &format.H264{PayloadTyp: 96, PacketizationMode: 1} // no parameter sets in the SDP
	for _, tt := range []struct {
		name  string
		forma format.Format
		audio format.Format
		sound [][]byte
		codec media.Codec
		clip  clip
	}{
		{"opus", nil, formatOpus, opus(t), media.Opus, video},
		{"PCMU", bare, formatPCMU, mulaw(t), media.PCMU, video},
		{"PCMA", nil, formatPCMA, sound(t, "-ar", "8000", "-f", "alaw"), media.PCMA,
			baseline(t, "-x264-params", "slices=4")},
		{"parameter sets in the SDP only", nil, nil, nil, "", stripped(video)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam := (&camera{t: t, video: []clip{tt.clip}, forma: tt.forma, audio: tt.audio, sound: tt.sound,
				first: 1<<32 - 45000}).start("127.0.0.1:0")
			src, log := source(t, rtsp.Options{URL: cam.url()})
			out, err := play(t, src, pictures(40))
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Run = %v", err)
			}
			if log.String() != "" {
				t.Errorf("log = %s, want nothing", log)
			}
			last := out.tracks[len(out.tracks)-1]
			if v := last[0]; v.Codec != media.H264 || v.Width != 320 || v.Height != 240 ||
				!bytes.Equal(v.SPS, tt.clip.sps) {
				t.Errorf("video track = %+v, want H264 of 320 x 240", v)
			}
			checkVideo(t, out.of(media.H264), tt.clip)
			if tt.codec != "" {
				checkAudio(t, out.of(tt.codec), tt.sound)
				if len(last) != 2 || last[1].Codec != tt.codec || last[1].Channels != 1 {
					t.Errorf("tracks = %+v, want %s too", last, tt.codec)
				}
			}
		})
	}
}

// stripped returns a clip without parameter sets in it.
func stripped(c clip) clip {
	units := c.units
	c.units = nil
	for _, au := range units {
		var kept [][]byte
		for _, nal := range au {
			if k := nal[0] & 0x1f; k != 7 && k != 8 {
				kept = append(kept, nal)
			}
		}
		c.units = append(c.units, kept)
	}
	return c
}

// checkVideo finds the first frame in the clip and compares from there.
func checkVideo(t *testing.T, frames []*media.Frame, c clip) {
	t.Helper()
	at := 0
	if frames[0].PTS > 1200*time.Millisecond {
		t.Errorf("the first picture has PTS %v, want at most the time between two key frames", frames[0].PTS)
	}
	for i, f := range frames {
		if i == 0 {
			for at < 50 && !bytes.Equal(payload(f.Data), payload(c.units[at])) {
				at++
			}
		} else if step := f.PTS - frames[i-1].PTS; step != 40*time.Millisecond {
			t.Errorf("frame %d comes %v after the one before, want 40 ms", i, step)
		}
		want := c.units[(at+i)%50]
		if !bytes.Equal(payload(f.Data), payload(want)) {
			t.Fatalf("frame %d is not what was encoded", i)
		}
		if key := (at+i)%25 == 0; f.Key != key {
			t.Errorf("frame %d: key = %t", i, f.Key)
		}
		if f.Key && (!bytes.Equal(f.Data[0], c.sps) || !bytes.Equal(f.Data[1], c.pps) || f.Data[2][0]&0x1f < 5) {
			t.Errorf("key frame %d begins with %x %x %x", i, f.Data[0][0], f.Data[1][0], f.Data[2][0])
		}
	}
}

// payload returns an access unit without delimiter and parameter sets.
func payload(au [][]byte) []byte {
	var all []byte
	for _, nal := range au {
		if k := nal[0] & 0x1f; k != 9 && k != 7 && k != 8 {
			all = append(append(all, 0, 0, 1), nal...)
		}
	}
	return all
}

func checkAudio(t *testing.T, frames []*media.Frame, packets [][]byte) {
	t.Helper()
	if len(frames) < 60 {
		t.Fatalf("%d packets of 20 ms beside 40 pictures of 40 ms", len(frames))
	}
	at := 0
	for at < len(packets) && !bytes.Equal(frames[0].Data[0], packets[at]) {
		at++
	}
	for i, f := range frames {
		if !bytes.Equal(f.Data[0], packets[(at+i)%len(packets)]) {
			t.Fatalf("audio frame %d is not what was encoded", i)
		}
		// The test's camera sends by the clock of a busy machine, and its reports say so: the audio may still be
		// shifting.
		if i > 0 && (f.PTS-frames[i-1].PTS-20*time.Millisecond).Abs() > time.Millisecond {
			t.Errorf("audio frame %d comes %v after the one before", i, f.PTS-frames[i-1].PTS)
		}
	}
}

// TestSync: a picture and the audio of the same moment have the same PTS, within the jitter of their arrival.
func TestSync(t *testing.T) {
	cam := (&camera{t: t, video: []clip{baseline(t)}, audio: formatPCMU, sound: mulaw(t)}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	out, err := play(t, src, pictures(30))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	video, audio := out.of(media.H264), out.of(media.PCMU)
	skew := video[len(video)-1].PTS - audio[len(audio)-1].PTS
	if skew < -150*time.Millisecond || skew > 150*time.Millisecond {
		t.Errorf("the last picture has PTS %v, the last sound %v", video[len(video)-1].PTS, audio[len(audio)-1].PTS)
	}
}

// TestSizeChange: a camera is set to another size in mid-stream.
func TestSizeChange(t *testing.T) {
	large := baseline(t)
	small := baseline(t, "-s", "160x120")
	cam := (&camera{t: t, video: []clip{large, small}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	out, err := play(t, src, func(s *sink) bool { return len(s.tracks) >= 2 })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := out.tracks[1][0]; got.Width != 160 || got.Height != 120 || !bytes.Equal(got.SPS, small.sps) {
		t.Errorf("announced %d x %d, want 160 x 120", got.Width, got.Height)
	}
	last := out.frames[len(out.frames)-1]
	if !last.Key || !bytes.Equal(last.Data[0], small.sps) || !bytes.Equal(last.Data[1], small.pps) {
		t.Errorf("the frame after the announcement does not begin with the new parameter sets")
	}
}

// TestAAC plays the video and says, once and not in each run, why there is no sound.
func TestAAC(t *testing.T) {
	aac := &format.MPEG4Audio{PayloadTyp: 97, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
		Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 1}}
	cam := (&camera{t: t, video: []clip{baseline(t, "-g", "5")}, audio: aac, sound: opus(t)}).start("127.0.0.1:0")
	src, log := source(t, rtsp.Options{URL: cam.url()})
	for range 2 {
		out, err := play(t, src, pictures(5))
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if len(out.tracks[0]) != 1 || len(out.frames) != len(out.of(media.H264)) {
			t.Errorf("tracks = %+v, want video only", out.tracks[0])
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "AAC (mpeg4-generic)") ||
		!strings.Contains(log.String(), "hint: set the camera's audio to Opus or G.711") {
		t.Errorf("log = %s, want one line about the sound", log)
	}
}

func TestBFrames(t *testing.T) {
	cam := (&camera{t: t,
		video: []clip{encode(t, "-profile:v", "main", "-bf", "3", "-preset", "medium")}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	_, err := play(t, src, nil)
	check(t, err, true, "B-frames, which WebRTC cannot carry; hint: set the camera's H.264 profile to Baseline")
}

// TestProfile: pictures that browsers do not decode, announced in the SDP or only in the stream.
func TestProfile(t *testing.T) {
	video := encode(t, "-profile:v", "high422", "-pix_fmt", "yuv422p", "-bf", "0", "-g", "5")
	for _, forma := range []format.Format{nil, &format.H264{PayloadTyp: 96, PacketizationMode: 1}} {
		cam := (&camera{t: t, video: []clip{video}, forma: forma}).start("127.0.0.1:0")
		src, _ := source(t, rtsp.Options{URL: cam.url()})
		out, err := play(t, src, nil)
		check(t, err, true, "4:2:2 (profile 122), which browsers do not decode; hint: set the camera's H.264 profile")
		if len(out.frames) > 0 {
			t.Errorf("%d frames came", len(out.frames))
		}
	}
}

// check wants one line with the words, and the right answer to whether trying again soon makes sense.
func check(t *testing.T, err error, slow bool, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("Run = nil, want an error")
	}
	for _, words := range append(want, "rtsp://127.0.0.1:", "; hint: ") {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("Run = %q, want %q in it", err, words)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("Run = %q, want one line without the password", err)
	}
	var s interface{ Slow() bool }
	if !errors.As(err, &s) || s.Slow() != slow {
		t.Errorf("Run = %v: slow = %t, want %t", err, !slow, slow)
	}
}

func TestLogin(t *testing.T) {
	video := baseline(t, "-g", "5")
	for _, tt := range []struct {
		name    string
		methods []auth.VerifyMethod
		warn    bool
	}{
		{"digest", []auth.VerifyMethod{auth.VerifyMethodDigestMD5}, false},
		{"digest SHA-256", []auth.VerifyMethod{auth.VerifyMethodDigestSHA256}, false},
		{"basic", []auth.VerifyMethod{auth.VerifyMethodBasic}, true},
		{"both", []auth.VerifyMethod{auth.VerifyMethodBasic, auth.VerifyMethodDigestMD5}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam := (&camera{t: t, video: []clip{video}, user: "admin", pass: "open@sesame",
				auth: tt.methods}).start("127.0.0.1:0")
			inURL := strings.Replace(cam.url(), "//", "//admin:open%40sesame@", 1)
			src, log := source(t, rtsp.Options{URL: inURL})
			for range 2 {
				if _, err := play(t, src, pictures(1)); !errors.Is(err, context.Canceled) {
					t.Fatalf("user and password in the URL: Run = %v", err)
				}
			}
			if got := strings.Count(log.String(), "clear text"); got != map[bool]int{true: 1}[tt.warn] {
				t.Errorf("log = %q", log)
			}
			src, _ = source(t, rtsp.Options{URL: cam.url(), Username: "admin", Password: "open@sesame"})
			if _, err := play(t, src, pictures(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("user and password apart: Run = %v", err)
			}
			src, log = source(t, rtsp.Options{URL: cam.url(), Username: "admin", Password: "wrong sesame"})
			_, err := play(t, src, nil)
			check(t, err, true, `user or password refused (401) for user "admin"`, "check username and password")
			if strings.Contains(log.String(), "sesame") {
				t.Errorf("log = %q shows the password", log)
			}
			src, _ = source(t, rtsp.Options{URL: cam.url()})
			_, err = play(t, src, nil)
			check(t, err, true, "the camera wants a user and a password (401)", "set username and password")
		})
	}
}

// A stream that does not exist may not exist yet.
func TestNoStream(t *testing.T) {
	cam := (&camera{t: t, video: []clip{baseline(t)}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: "rtsp://" + cam.address + "/nowhere"})
	_, err := play(t, src, nil)
	check(t, err, false, "/nowhere: describe: no such stream (404)", "check the path")
}

func TestNoH264(t *testing.T) {
	cam := (&camera{t: t, forma: &format.MJPEG{}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	_, err := play(t, src, nil)
	check(t, err, true, "no video that can be sent: the camera offers JPEG", "sub stream")
}

// TestStall: the camera stays connected and sends nothing more.
func TestStall(t *testing.T) {
	cam := (&camera{t: t, video: []clip{baseline(t)}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url(), Timeout: 500 * time.Millisecond})
	_, err := play(t, src, func(*sink) bool { cam.feeding(); return false })
	check(t, err, false, "receive: no video packet for 500ms")
}

// TestRestart: after the camera came back the same source plays again, from PTS zero and a key frame.
func TestRestart(t *testing.T) {
	video := baseline(t)
	cam := (&camera{t: t, video: []clip{video}}).start("127.0.0.1:0")
	src, _ := source(t, rtsp.Options{URL: cam.url()})
	gone := make(chan struct{})
	_, err := play(t, src, func(s *sink) bool {
		if len(s.frames) == 30 {
			go func() { defer close(gone); cam.stop() }()
		}
		return false
	})
	<-gone
	check(t, err, false, "receive: the camera closed the connection")

	_, err = play(t, src, nil)
	check(t, err, false, "connect: connection refused", "is RTSP switched on")

	(&camera{t: t, video: []clip{video}}).start(cam.address)
	out, err := play(t, src, pictures(10))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if first := out.frames[0]; !first.Key || first.PTS > 1200*time.Millisecond {
		t.Errorf("after the restart the first frame has key = %t, PTS %v", first.Key, first.PTS)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ url, err string }{
		{"rtsp://10.0.0.5/main", ""},
		{"rtsp://cam.local:8554/live?channel=1", ""},
		{"rtsp://admin:a%40b%2Fc@cam/1", ""},
		{"rtsp://admin@cam/1", ""},
		{"rtsp://[fe80::1]:554/1", ""},
		{"rtsps://cam/1", ""},
		{"http://cam/1", "hint: rtsp://"},
		{"rtsp:///main", "without a host"},
		{"rtsp://admin:sesame%zz@cam/1", "percent-encoded"},
		{"rtsp://admin:se/same:sesame@cam/1", "percent-encoded"},
		{"rtsp://admin:#sesame@cam/1", "percent-encoded"},
	} {
		got, err := rtsp.Parse(tt.url)
		if tt.err == "" && (err != nil || got.URL != tt.url) {
			t.Errorf("Parse(%q) = %v, %v", tt.url, got, err)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) ||
			strings.Contains(err.Error(), "sesame")) {
			t.Errorf("Parse(%q) = %v, want an error with %q and no password", tt.url, err, tt.err)
		}
	}
}

// TestUser: the separate keys override the login in the URL, each by itself.
func TestUser(t *testing.T) {
	for _, tt := range []struct{ inURL, user, password, want string }{
		{"admin:a@", "", "", "admin:a"},
		{"admin:a@", "guest", "b", "guest:b"},
		{"admin@", "", "b", "admin:b"},
		{"admin:a@", "", "b", "admin:b"},
		{"", "guest", "b", "guest:b"},
		{"", "guest", "", "guest:"},
		{"", "", "", "[]"},
	} {
		cam := serve(t, func(address string, req *base.Request) string {
			if req.Method == base.Options || req.Header["Authorization"] != nil {
				return byMethod("")(address, req)
			}
			return "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"
		})
		src, _ := source(t, rtsp.Options{URL: "rtsp://" + tt.inURL + cam.address + "/main", Username: tt.user,
			Password: tt.password, Timeout: 200 * time.Millisecond})
		play(t, src, nil)
		want := tt.want
		if want != "[]" {
			want = base64.StdEncoding.EncodeToString([]byte(want))
		}
		if got := cam.asked(); !strings.Contains(got, want) {
			t.Errorf("%+v: requests:\n%s", tt, got)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []rtsp.Options{
		{},
		{URL: "rtsp://cam/1", Password: "sesame"},
		{URL: "rtsp://cam/1", Timeout: -1},
	} {
		if _, err := rtsp.New(o); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("New(%s) = %v", o.URL, err)
		}
	}
	var log bytes.Buffer
	o := rtsp.Options{URL: "rtsp://admin:sesame@cam/1", Username: "admin", Password: "sesame"}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "options", o)
	if s := log.String(); strings.Contains(s, "sesame") || !strings.Contains(s, "rtsp://cam/1") {
		t.Errorf("logged options = %s", s)
	}
	src, err := rtsp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "source", src)
	if s := log.String() + fmt.Sprintf("%v %+v %s", src, src, src); strings.Contains(s, "sesame") {
		t.Errorf("a printed source = %s", s)
	}
}
