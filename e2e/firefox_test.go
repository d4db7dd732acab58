package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestFirefox: a browser that has no H.264 sees VP8, and of a camera that has only H.264 it learns at once that there
// is nothing for it: the answer rejects the sections, and the log says what each side has.
func TestFirefox(t *testing.T) {
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  vp8: {url: %q}
  h264: {url: "testpattern:"}
channels:
  fox-vp8: {source: vp8, create: true}
  fox-h264: {source: h264, create: true}
`, rig.BarsCommand(rig.IVF["VP8"])))
	fox := rig.SDK{Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: "firefox-1", Browser: &rig.Firefox}

	t.Run("VP8", func(t *testing.T) {
		fox := fox
		fox.ARN = agent.Connected(t, "fox-vp8")
		viewer := fox.Join(t, "offer")
		viewer.Pictures(3*rig.CodecFPS, "video/VP8")
		viewer.ShowsBars(t, "#remote")
	})
	t.Run("H.264", func(t *testing.T) {
		fox := fox
		fox.ARN = agent.Connected(t, "fox-h264")
		viewer := fox.Join(t, "offer")
		rig.Eventually(t, 15*time.Second, "both sections are rejected", func() (bool, any) {
			var got []string
			viewer.Call(&got, "directions")
			return len(got) == 2 && got[0] == "stopped" && got[1] == "stopped", got
		})
		agent.Says(t, "peer gone", "client=firefox-1",
			"no common video codec: the remote takes VP8, VP9, AV1; the source gives H264")
	})
}

// TestFirefoxAnswers: the agent, as master, offers to Firefox with the official SDK, which answers.
func TestFirefoxAnswers(t *testing.T) {
	service := rig.StartKVS(t)
	arn := rig.CreateChannel(t, service.URL, "push-fox")
	viewer := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: "firefox-1",
		Browser: &rig.Firefox}.Join(t, "answer")
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {vp8: {url: %q}}
channels: {push-fox: {source: vp8, offer_to: [firefox-1]}}
`, rig.BarsCommand(rig.IVF["VP8"])))
	viewer.Pictures(3*rig.CodecFPS, "video/VP8")
	viewer.ShowsBars(t, "#remote")
	if peers := agent.Channel(t, "push-fox").Peers; len(peers) != 1 || peers[0].ClientID != "firefox-1" ||
		peers[0].Offerer != "us" {
		t.Errorf("peers = %+v, want firefox-1, offered to by us", peers)
	}
	agent.Direct(t, "push-fox")
}
