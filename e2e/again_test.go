package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// reload begins the page again, as a person does, and joins the channel under the same client id. It returns how long it took until there was a picture.
func (p *page) reload() time.Duration {
	p.t.Helper()
	began := time.Now()
	if _, err := p.browser.do(command{Page: p.id, Reload: true}); err != nil {
		p.t.Fatalf("%s: reload: %v", p.browser.name, err)
	}
	p.joined()
	eventually(p.t, 20*time.Second, "a picture after the page was reloaded", func() (bool, any) {
		s := p.stats()
		return s.Video.Frames > 0 && s.Video.Width > 0, s
	})
	return time.Since(began)
}

// TestReload: a page that is reloaded again and again under one client id shows the picture each time, and the agent keeps one session for it.
func TestReload(t *testing.T) {
	service := startKVS(t)
	cam := startCamera(t, "127.0.0.1:0", "", "", opusAudio)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources:
  h264: {url: %q}
  vp8: {url: %q}
channels:
  reload-chromium: {source: h264, create: true}
  reload-firefox: {source: vp8, create: true}
`, cam.URL(), barsCommand(ivf["VP8"])))
	for _, b := range []*browser{&chromium, &firefox} {
		t.Run(b.name, func(t *testing.T) {
			name := "reload-" + b.name
			viewer := sdk{arn: agent.connected(t, name), endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "tablet", browser: b}.join(t, "offer")
			viewer.showsBars(t, "#remote")
			var took []string
			for range 10 {
				took = append(took, viewer.reload().Round(10*time.Millisecond).String())
				viewer.showsBars(t, "#remote")
			}
			t.Logf("%s: a picture %s after each reload", b.name, strings.Join(took, ", "))
			eventually(t, 10*time.Second, "one session is left", func() (bool, any) {
				peers := agent.channel(t, name).Peers
				return len(peers) == 1 && peers[0].ClientID == "tablet" && peers[0].State == "connected", peers
			})
		})
	}
}

// TestFirefoxAnswers: the agent, as master, offers to Firefox with the official SDK, which answers.
func TestFirefoxAnswers(t *testing.T) {
	service := startKVS(t)
	arn := create(t, service.URL, "push-fox")
	viewer := sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "firefox-1", browser: &firefox}.join(t, "answer")
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {vp8: {url: %q}}
channels: {push-fox: {source: vp8, offer_to: [firefox-1]}}
`, barsCommand(ivf["VP8"])))
	viewer.pictures(3*codecFPS, "video/VP8")
	viewer.showsBars(t, "#remote")
	if peers := agent.channel(t, "push-fox").Peers; len(peers) != 1 || peers[0].ClientID != "firefox-1" || peers[0].Offerer != "us" {
		t.Errorf("peers = %+v, want firefox-1, offered to by us", peers)
	}
}

// TestHighProfile: Chromium does not list H.264's High profile, which most cameras send, and decodes it all the same.
func TestHighProfile(t *testing.T) {
	service := startKVS(t)
	cam := startCameraWith(t, "127.0.0.1:0", "", "", []string{"-preset", "veryfast", "-profile:v", "high", "-x264-params", "8x8dct=1:cabac=1"}, opusAudio)
	out, errs, code := run(t, 20*time.Second, environment(), "/usr/bin/ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-select_streams", "v",
		"-show_entries", "stream=profile", "-of", "csv=p=0", cam.URL())
	if code != 0 || strings.TrimSpace(out) != "High" {
		t.Fatalf("the camera's profile is %q, want High: exit %d: %s", out, code, errs)
	}
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {high: {source: gate, create: true}}
`, cam.URL()))
	viewer := sdk{arn: agent.connected(t, "high"), endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "browser-1"}.join(t, "offer")
	got := viewer.plays(3*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	viewer.showsBars(t, "#remote")
	t.Logf("%d frames decoded, %d of them key frames", got.Video.Frames, got.Video.KeyFrames)
}
