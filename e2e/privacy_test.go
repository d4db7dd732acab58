package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestPrivacyOverTheAPI: who watches sees that the camera is closed, and its picture again when it is opened, in one
// connection.
func TestPrivacyOverTheAPI(t *testing.T) {
	t.Parallel()
	service := rig.StartService(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources:
  room: {url: "testpattern:", privacy_file: %q}
  hall: {url: "testpattern:"}
channels: {api: {source: room, create: true}}
`, filepath.Join(t.TempDir(), "private")))
	put := func(source, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			agent.StatusURL+"/api/v1/sources/"+source+"/privacy", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", agent.StatusURL)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("PUT %s for %s = %s, want %d", body, source, resp.Status, want)
		}
	}
	watcher := rig.OpenViewer(t, service, agent.Connected(t, "api"), "browser-1")
	watcher.Moves(20)
	put("room", `{"on": true}`, http.StatusNoContent)
	watcher.ShowsSlate(t, "#remote")
	if r, err := agent.Report(); err != nil || !strings.HasPrefix(r.Sources[1].Privacy, "the file ") {
		t.Errorf("report: %v, %+v, want what closes the room", err, r.Sources)
	}
	put("room", `{"on": false}`, http.StatusNoContent)
	watcher.Moves(20)
	watcher.SameConnection(t)
	put("hall", `{"on": true}`, http.StatusConflict)
}

// TestExecToBrowser: a command writes MPEG-TS with AAC, which becomes Opus. A file is the privacy switch: the command
// ends, the viewer sees a slate, and then the picture again, in one connection.
func TestExecToBrowser(t *testing.T) {
	service := rig.StartService(t)
	private := filepath.Join(t.TempDir(), "private")
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources:
  command:
    url: "exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=640x360:rate=25 -re -f lavfi -i sine=frequency=440:sample_rate=48000"
    args: [-c:v, libx264, -preset, ultrafast, -tune, zerolatency, -profile:v, baseline, -g, "25", -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, -flush_packets, "1", "-"]
    audio: transcode
    privacy_file: %q
channels: {exec: {source: command, create: true}}
`, private))
	watcher := rig.OpenViewer(t, service, agent.Connected(t, "exec"), "browser-1")
	watcher.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")

	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	watcher.ShowsSlate(t, "#remote")
	agent.Says(t, "privacy switch", "on=true")
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	watcher.Plays(2*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")
	watcher.SameConnection(t)
}
