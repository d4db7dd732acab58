package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// showsSlate waits until the video is the dark picture that says why there is no other.
func (p *page) showsSlate(t *testing.T, selector string) {
	t.Helper()
	points := [][2]float64{{0.05, 0.1}, {0.5, 0.1}, {0.95, 0.1}, {0.05, 0.9}, {0.95, 0.9}}
	eventually(t, 15*time.Second, "a slate in "+selector, func() (bool, any) {
		var got [][3]int
		p.call(&got, "colours", selector, points)
		for _, c := range got {
			if max(c[0], c[1], c[2]) > 60 {
				return false, got
			}
		}
		return len(got) == len(points), got
	})
}

// sameConnection fails the test when the viewer had to connect again.
func (p *page) sameConnection(t *testing.T) {
	t.Helper()
	if got := p.stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections = %v, want the first one still", got)
	}
}

// TestExecToBrowser: a command writes MPEG-TS with AAC, which becomes Opus. A file is the privacy switch: the command ends, the viewer
// sees a slate, and then the picture again, in one connection.
func TestExecToBrowser(t *testing.T) {
	service := startService(t)
	private := filepath.Join(t.TempDir(), "private")
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources:
  command:
    url: "exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=640x360:rate=25 -re -f lavfi -i sine=frequency=440:sample_rate=48000"
    args: [-c:v, libx264, -preset, ultrafast, -tune, zerolatency, -profile:v, baseline, -g, "25", -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, -flush_packets, "1", "-"]
    audio: transcode
    privacy_file: %q
channels: {exec: {source: command, create: true}}
`, private))
	watcher := viewer(t, service, agent.connected(t, "exec"), "browser-1")
	watcher.plays(3*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	watcher.showsBars(t, "#remote")

	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	watcher.showsSlate(t, "#remote")
	agent.says(t, "privacy switch", "on=true")
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	watcher.plays(2*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	watcher.showsBars(t, "#remote")
	watcher.sameConnection(t)
}

// TestOfflineSlate: who watches sees that the camera is away, and its picture again when it is back, in one connection.
func TestOfflineSlate(t *testing.T) {
	service := startService(t)
	cam := startCamera(t, "127.0.0.1:0", "", "", opusAudio)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {away: {source: gate, create: true}}
`, cam.URL()))
	watcher := viewer(t, service, agent.connected(t, "away"), "browser-1")
	watcher.plays(cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	watcher.showsBars(t, "#remote")
	cam.off()
	watcher.showsSlate(t, "#remote")
	startCamera(t, cam.Address, "", "", opusAudio)
	watcher.plays(2*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	watcher.showsBars(t, "#remote")
	watcher.sameConnection(t)
}

// TestSourcesProbe asks what a camera sends, for people and for programs.
func TestSourcesProbe(t *testing.T) {
	cam := startCamera(t, "127.0.0.1:0", "viewer", "open sesame", opusAudio)
	password := writeFile(t, "password", "open sesame\n")
	args := []string{"sources", "probe", cam.URL(), "--username", "viewer", "--password-file", password, "--duration", "4s"}
	out, errs, code := run(t, 40*time.Second, environment(), binary, append(args, "-o", "json")...)
	var got struct {
		Verdict string
		Video   struct {
			Codec, Profile string
			Width, Height  int
			FPS            float64
			GOP            float64 `json:"gop_ms"`
			BFrames        bool    `json:"b_frames"`
		}
		Audio struct{ Codec string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, out, errs)
	}
	v := got.Video
	if v.Codec != "H264" || !strings.HasPrefix(v.Profile, "Constrained Baseline") || v.Width != cameraWidth || v.Height != cameraHeight ||
		v.FPS < 20 || v.FPS > 30 || v.GOP < 900 || v.GOP > 1100 || v.BFrames || got.Audio.Codec != "opus" || got.Verdict == "bad" {
		t.Errorf("%+v", got)
	}
	out, errs, code = run(t, 40*time.Second, environment(), binary, "sources", "probe", cam.URL())
	if code != 1 || !strings.Contains(out, "verdict  bad") || !strings.Contains(out, "set username and password") {
		t.Errorf("without a password: exit %d\n%s\n%s", code, out, errs)
	}
}
