package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestHighProfile: Chromium does not list H.264's High profile, which most cameras send, and decodes it all the same.
func TestHighProfile(t *testing.T) {
	service := rig.StartKVS(t)
	cam := rig.StartCameraWith(t, "127.0.0.1:0", "", "",
		[]string{"-preset", "veryfast", "-profile:v", "high", "-x264-params", "8x8dct=1:cabac=1"}, rig.OpusAudio)
	out, errs, code := rig.Run(t, 20*time.Second, rig.Environment(), "/usr/bin/ffprobe", "-v", "error",
		"-rtsp_transport", "tcp", "-select_streams", "v",
		"-show_entries", "stream=profile", "-of", "csv=p=0", cam.URL())
	if code != 0 || strings.TrimSpace(out) != "High" {
		t.Fatalf("the camera's profile is %q, want High: exit %d: %s", out, code, errs)
	}
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {high: {source: gate, create: true}}
`, cam.URL()))
	viewer := rig.SDK{ARN: agent.Connected(t, "high"), Endpoint: service.URL, Role: types.ChannelRoleViewer,
		ClientID: "browser-1"}.Join(t, "offer")
	got := viewer.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	viewer.ShowsBars(t, "#remote")
	t.Logf("%d frames decoded, %d of them key frames", got.Video.Frames, got.Video.KeyFrames)
}
