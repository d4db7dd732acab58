package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// TestFirefox: a browser that has no H.264 sees VP8, and of a camera that has only H.264 it learns at once that there is nothing for it:
// the answer rejects the sections, and the log says what each side has.
func TestFirefox(t *testing.T) {
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources:
  vp8: {url: %q}
  h264: {url: "testpattern:"}
channels:
  fox-vp8: {source: vp8, create: true}
  fox-h264: {source: h264, create: true}
`, barsCommand(ivf["VP8"])))
	fox := sdk{endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "firefox-1", browser: &firefox}

	t.Run("VP8", func(t *testing.T) {
		fox := fox
		fox.arn = agent.connected(t, "fox-vp8")
		viewer := fox.join(t, "offer")
		viewer.pictures(3*codecFPS, "video/VP8")
		viewer.showsBars(t, "#remote")
	})
	t.Run("H.264", func(t *testing.T) {
		fox := fox
		fox.arn = agent.connected(t, "fox-h264")
		viewer := fox.join(t, "offer")
		eventually(t, 15*time.Second, "both sections are rejected", func() (bool, any) {
			var got []string
			viewer.call(&got, "directions")
			return len(got) == 2 && got[0] == "stopped" && got[1] == "stopped", got
		})
		agent.says(t, "peer gone", "client=firefox-1", "no common video codec: the remote takes VP8, VP9, AV1; the source gives H264")
	})
}
