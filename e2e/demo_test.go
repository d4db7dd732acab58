package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// demo is kvsagent demo: localkvs, an agent with the test pattern, and a page.
type demo struct {
	*process
	pageURL, kvsURL string
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	p := start(t, environment(), binary, "demo", "--listen", "127.0.0.1:0", "--localkvs-listen", "127.0.0.1:0")
	return &demo{
		process: p,
		pageURL: p.find(t, &p.stdout, 15*time.Second, `http://127\.0\.0\.1:\d+/(?:\s|$)`)[0],
		kvsURL:  p.find(t, &p.stdout, 15*time.Second, `(?i)localkvs\S*\s.*?(http://127\.0\.0\.1:\d+)`)[1],
	}
}

// TestDemoPage opens the page that the demo prints, as a person does.
func TestDemoPage(t *testing.T) {
	d := startDemo(t)
	p := openPage(t, strings.TrimSpace(d.pageURL))
	p.moves(50)
	var colours [][3]int
	p.call(&colours, "colours", "#video-demo", [][2]float64{{0.1, 0.1}, {0.5, 0.5}, {0.9, 0.9}, {0.3, 0.7}, {0.7, 0.3}})
	if len(colours) == 0 {
		t.Fatal("#video-demo shows nothing")
	}
	for _, c := range colours[1:] {
		if c != colours[0] {
			return
		}
	}
	t.Errorf("the picture is %v all over", colours[0])
}

// TestDemoSDK watches the demo with the official SDK.
func TestDemoSDK(t *testing.T) {
	d := startDemo(t)
	sdk{arn: find(t, d.kvsURL, "demo"), endpoint: d.kvsURL, role: types.ChannelRoleViewer, clientID: "browser-1"}.join(t, "offer").moves(50)
}

// TestDemoEnds: Ctrl-C ends the demo at once, with a viewer and without.
func TestDemoEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		viewer bool
	}{{"alone", false}, {"with a viewer", true}} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDemo(t)
			if tt.viewer {
				openPage(t, strings.TrimSpace(d.pageURL)).moves(5)
			}
			d.signal(syscall.SIGINT)
			if code := d.wait(t, 3*time.Second); code != 0 {
				t.Errorf("exit %d after SIGINT, want 0", code)
			}
		})
	}
}

// watched is what view -o json prints.
type watched struct {
	Connected    bool    `json:"connected"`
	FirstFrameMS float64 `json:"first_frame_ms"`
	Video        struct {
		Codec     string `json:"codec"`
		Frames    int    `json:"frames"`
		KeyFrames int    `json:"key_frames"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
	} `json:"video"`
	Audio struct {
		Codec   string `json:"codec"`
		Packets int    `json:"packets"`
	} `json:"audio"`
	Bytes int64 `json:"bytes"`
}

// TestView watches the demo from the command line and has ffprobe judge the recording.
func TestView(t *testing.T) {
	d := startDemo(t)
	file := filepath.Join(t.TempDir(), "out.mp4")
	got := view(t, "view", "demo", "--endpoint", d.kvsURL, "--duration", "5s", "--record", file, "-o", "json")
	if got.Video.Frames < 50 || got.Video.KeyFrames < 2 || got.Audio.Packets < 100 || got.Bytes < 1000 {
		t.Errorf("view = %+v, want most of 5 s", got)
	}

	video, audio := probe(t, file)
	frames, _ := strconv.Atoi(video.Frames)
	if video.Codec != "h264" || video.Width != got.Video.Width || video.Height != got.Video.Height || frames < got.Video.Frames*9/10-25 || frames > got.Video.Frames {
		t.Errorf("recorded video = %+v, want nearly all of %+v", video, got.Video)
	}
	packets, _ := strconv.Atoi(audio.Frames)
	if audio.Codec != "opus" || audio.Rate != "48000" || packets < 100 {
		t.Errorf("recorded audio = %+v, want opus", audio)
	}
	_, errs, code := run(t, 30*time.Second, environment(), "/usr/bin/ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", file, "-f", "null", "-")
	if code != 0 || errs != "" {
		t.Errorf("ffmpeg decodes the recording: exit %d, %s", code, errs)
	}
}

// TestViewAsTold runs the command that the demo prints.
func TestViewAsTold(t *testing.T) {
	d := startDemo(t)
	told := d.find(t, &d.stdout, 5*time.Second, `AWS_ACCESS_KEY_ID=localkvs AWS_SECRET_ACCESS_KEY=localkvs kvsagent (view .*)`)[1]
	view(t, append(strings.Fields(told), "--duration", "2s", "-o", "json")...)
}

// view runs kvsagent view with the keys of localkvs in the environment and nothing else, and returns what it prints.
func view(t *testing.T, args ...string) (got watched) {
	t.Helper()
	env := environment("AWS_ACCESS_KEY_ID=localkvs", "AWS_SECRET_ACCESS_KEY=localkvs")
	out, errs, code := run(t, 30*time.Second, env, binary, args...)
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("%v: exit %d, %v\n%s\n%s", args, code, err, out, errs)
	}
	if !got.Connected || got.FirstFrameMS <= 0 || got.FirstFrameMS > 4000 || !strings.EqualFold(got.Video.Codec, "H264") || got.Video.Frames == 0 ||
		got.Video.Width == 0 || got.Video.Height == 0 || !strings.EqualFold(got.Audio.Codec, "opus") || got.Audio.Packets == 0 {
		t.Errorf("%v = %+v, want H.264 and Opus, and the first frame soon", args, got)
	}
	return got
}

// stream is what ffprobe says about one.
type stream struct {
	Type     string `json:"codec_type"`
	Codec    string `json:"codec_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Rate     string `json:"sample_rate"`
	Duration string `json:"duration"`
	Frames   string `json:"nb_read_packets"`
}

// probe returns the video and the audio stream of a recording, and checks how long it is.
func probe(t *testing.T, file string) (video, audio stream) {
	t.Helper()
	out, errs, code := run(t, 20*time.Second, environment(), "/usr/bin/ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json", file)
	var probed struct {
		Streams []stream
		Format  struct{ Duration string }
	}
	if err := json.Unmarshal([]byte(out), &probed); err != nil || code != 0 || errs != "" {
		t.Fatalf("ffprobe: exit %d, %v\n%s%s", code, err, out, errs)
	}
	if d, _ := strconv.ParseFloat(probed.Format.Duration, 64); d < 3 || d > 5.5 {
		t.Errorf("the recording lasts %q s, want about 5", probed.Format.Duration)
	}
	for _, s := range probed.Streams {
		switch s.Type {
		case "video":
			video = s
		case "audio":
			audio = s
		}
	}
	return video, audio
}
