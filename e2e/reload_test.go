package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestReload: a page that is reloaded again and again under one client id shows the picture each time, and the agent
// keeps one session for it.
func TestReload(t *testing.T) {
	service := rig.StartKVS(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  h264: {url: %q}
  vp8: {url: %q}
channels:
  reload-chromium: {source: h264, create: true}
  reload-firefox: {source: vp8, create: true}
`, cam.URL(), rig.BarsCommand(rig.IVF["VP8"])))
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		t.Run(b.Name, func(t *testing.T) {
			name := "reload-" + b.Name
			viewer := rig.SDK{ARN: agent.Connected(t, name), Endpoint: service.URL, Role: types.ChannelRoleViewer,
				ClientID: "tablet", Browser: b}.Join(t, "offer")
			viewer.ShowsBars(t, "#remote")
			var took []string
			for range 10 {
				took = append(took, viewer.Reload().Round(10*time.Millisecond).String())
				viewer.ShowsBars(t, "#remote")
			}
			t.Logf("%s: a picture %s after each reload", b.Name, strings.Join(took, ", "))
			rig.Eventually(t, 10*time.Second, "one session is left", func() (bool, any) {
				peers := agent.Channel(t, name).Peers
				return len(peers) == 1 && peers[0].ClientID == "tablet" && peers[0].State == "connected", peers
			})
		})
	}
}
