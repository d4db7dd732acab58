package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestSourcesProbe asks what a camera sends, for people and for programs.
func TestSourcesProbe(t *testing.T) {
	cam := rig.StartCamera(t, "127.0.0.1:0", "viewer", "open sesame", rig.OpusAudio)
	password := rig.WriteFile(t, "password", "open sesame\n")
	args := []string{"sources", "probe", cam.URL(), "--username", "viewer", "--password-file", password,
		"--duration", "4s"}
	out, errs, code := rig.Run(t, 40*time.Second, rig.Environment(), rig.Binary, append(args, "-o", "json")...)
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
	if v.Codec != "H264" || !strings.HasPrefix(v.Profile, "Constrained Baseline") || v.Width != rig.CameraWidth ||
		v.Height != rig.CameraHeight ||
		v.FPS < 20 || v.FPS > 30 || v.GOP < 900 || v.GOP > 1100 || v.BFrames || got.Audio.Codec != "opus" ||
		got.Verdict == "bad" {
		t.Errorf("%+v", got)
	}
	out, errs, code = rig.Run(t, 40*time.Second, rig.Environment(), rig.Binary, "sources", "probe", cam.URL())
	if code != 1 || !strings.Contains(out, "verdict  bad") || !strings.Contains(out, "set username and password") {
		t.Errorf("without a password: exit %d\n%s\n%s", code, out, errs)
	}
}
