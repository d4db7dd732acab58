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

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// demo is kvsagent demo: localkvs, an agent with the test pattern, and a page.
type demo struct {
	*rig.Process
	pageURL, kvsURL string
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	p := rig.Start(t, rig.Environment(), rig.Binary, "demo", "--listen", "127.0.0.1:0", "--localkvs-listen",
		"127.0.0.1:0")
	return &demo{
		Process: p,
		pageURL: p.Find(t, &p.Stdout, 15*time.Second, `http://127\.0\.0\.1:\d+/(?:\s|$)`)[0],
		kvsURL:  p.Find(t, &p.Stdout, 15*time.Second, `(?i)localkvs\S*\s.*?(http://127\.0\.0\.1:\d+)`)[1],
	}
}

// TestDemoPage opens the page that the demo prints, as a person does.
func TestDemoPage(t *testing.T) {
	d := startDemo(t)
	p := rig.OpenPage(t, strings.TrimSpace(d.pageURL))
	p.Moves(50)
	var colours [][3]int
	p.Call(&colours, "colours", "#video-demo", [][2]float64{{0.1, 0.1}, {0.5, 0.5}, {0.9, 0.9}, {0.3, 0.7}, {0.7, 0.3}})
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
	rig.SDK{ARN: rig.FindChannel(t, d.kvsURL, "demo"), Endpoint: d.kvsURL, Role: types.ChannelRoleViewer,
		ClientID: "browser-1"}.Join(t, "offer").Moves(50)
}

// TestDemoEnds: Ctrl-C ends the demo at once, with a viewer and without.
func TestDemoEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		viewer bool
	}{{"alone", false}, {"with a viewer", true}} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			d := startDemo(t)
			up := time.Since(began)
			if tt.viewer {
				rig.OpenPage(t, strings.TrimSpace(d.pageURL)).Moves(5)
			}
			d.Signal(syscall.SIGINT)
			if code := d.Wait(t, max(3*time.Second, 3*up)); code != 0 {
				t.Errorf("exit %d after SIGINT, want 0", code)
			}
		})
	}
}

// TestView watches the demo from the command line and has ffprobe judge the recording.
func TestView(t *testing.T) {
	d := startDemo(t)
	file := filepath.Join(t.TempDir(), "out.mp4")
	got := rig.View(t, "view", "demo", "--endpoint", d.kvsURL, "--duration", "5s", "--record", file, "-o", "json")
	if got.Video.Frames < 50 || got.Video.KeyFrames < 2 || got.Audio.Packets < 100 || got.Bytes < 1000 {
		t.Errorf("view = %+v, want most of 5 s", got)
	}

	video, audio := probe(t, file)
	frames, _ := strconv.Atoi(video.Frames)
	if video.Codec != "h264" || video.Width != got.Video.Width || video.Height != got.Video.Height ||
		frames < got.Video.Frames*9/10-25 || frames > got.Video.Frames {
		t.Errorf("recorded video = %+v, want nearly all of %+v", video, got.Video)
	}
	packets, _ := strconv.Atoi(audio.Frames)
	if audio.Codec != "opus" || audio.Rate != "48000" || packets < 100 {
		t.Errorf("recorded audio = %+v, want opus", audio)
	}
	_, errs, code := rig.Run(t, 30*time.Second, rig.Environment(), "/usr/bin/ffmpeg", "-nostdin", "-v", "error",
		"-xerror", "-i", file, "-f", "null", "-")
	if code != 0 || errs != "" {
		t.Errorf("ffmpeg decodes the recording: exit %d, %s", code, errs)
	}
}

// TestViewAsTold runs the command that the demo prints.
func TestViewAsTold(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	told := d.Find(t, &d.Stdout, 5*time.Second,
		`AWS_ACCESS_KEY_ID=localkvs AWS_SECRET_ACCESS_KEY=localkvs kvsagent (view .*)`)[1]
	rig.View(t, append(strings.Fields(told), "--duration", "2s", "-o", "json")...)
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
	out, errs, code := rig.Run(t, 20*time.Second, rig.Environment(), "/usr/bin/ffprobe", "-v", "error",
		"-count_packets", "-show_streams", "-show_format", "-of", "json", file)
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
