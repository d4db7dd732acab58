package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestCameraToBrowser is the main job: a camera, the daemon, the official SDK in a browser.
func TestCameraToBrowser(t *testing.T) {
	service := rig.StartKVS(t)
	for _, tt := range []struct {
		name      string
		audio     []string
		codec     string
		url, ca   string
		relayOnly bool
	}{
		{name: "opus over TLS", audio: rig.OpusAudio, codec: "audio/opus", url: service.TLSURL, ca: service.CA},
		{name: "pcmu without TLS", audio: rig.PcmuAudio, codec: "audio/PCMU", url: service.URL},
		{name: "opus through TURN", audio: rig.OpusAudio, codec: "audio/opus", url: service.URL, relayOnly: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam := rig.StartCamera(t, "127.0.0.1:0", "viewer", "open sesame", tt.audio)
			name := strings.ReplaceAll(tt.name, " ", "-")
			agent := rig.StartAgent(t, rig.Environment(rig.Keys...), tt.url, tt.ca, fmt.Sprintf(`
sources: {gate: {url: %q, username: viewer, password: open sesame}}
channels: {%s: {source: gate, create: true}}
`, cam.URL(), name))
			viewer := rig.SDK{
				ARN: agent.Connected(t, name), Endpoint: tt.url, CA: tt.ca, Role: types.ChannelRoleViewer,
				ClientID: "browser-1", RelayOnly: tt.relayOnly,
			}.Join(t, "offer")
			got := viewer.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, tt.codec)
			viewer.ShowsBars(t, "#remote")
			if got.Video.Codec != "video/H264" {
				t.Errorf("video codec = %s, want H264 passed through", got.Video.Codec)
			}
			if tt.relayOnly && (len(got.Pairs) == 0 || !strings.HasPrefix(got.Pairs[0], "relay>")) {
				t.Errorf("pairs = %v, want the browser's to be relay", got.Pairs)
			}
			if lines := agent.Stderr.Lines("level=INFO", `"first key frame"`, "client=browser-1", "after.answer_s=",
				"after.packet_s=", "after.frame_s="); len(lines) != 1 {
				t.Errorf("the first key frame is told of %d times", len(lines))
			}
			if text := agent.Stderr.String() + agent.Stdout.String(); strings.Contains(text, "open sesame") ||
				strings.Contains(text, "X-Amz-Signature") {
				t.Error("the log has a secret in it")
			}
		})
	}
}

// TestCameraComesBack: a camera that restarts costs its viewers some seconds of the picture and not the connection.
func TestCameraComesBack(t *testing.T) {
	service := rig.StartService(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {back: {source: gate, create: true}}
`, cam.URL()))
	watcher := rig.OpenViewer(t, service, agent.Connected(t, "back"), "browser-1")
	watcher.Plays(rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	cam.Off()
	agent.Says(t, "level=WARN", "gate", "refused")
	rig.StartCamera(t, cam.Address, "", "", rig.OpusAudio)
	watcher.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")
	if got := watcher.Stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections = %v, want the first one still", got)
	}
}
