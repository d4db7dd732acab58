package e2e

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// networkCut is how long nothing goes through: longer than a browser waits before it says "disconnected", shorter than
// ICE's patience.
const networkCut = 20 * time.Second

// TestNetworkCut: between the agent and a page nothing goes through for a while, neither media nor signaling. The
// picture comes back by itself, in the same page and over the same connection.
func TestNetworkCut(t *testing.T) {
	if !rig.Inside(t, 4*time.Minute) {
		return
	}
	service := rig.StartService(t)
	u, err := url.Parse(service.URL())
	if err != nil {
		t.Fatal(err)
	}
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources:
  h264: {url: %q}
  vp8: {url: %q}
channels:
  cut-chromium: {source: h264, create: true}
  cut-firefox: {source: vp8, create: true}
`, cam.URL(), rig.BarsCommand(rig.IVF["VP8"])))
	var pages []*rig.Page
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		p := rig.SDK{ARN: agent.Connected(t, "cut-"+b.Name), Endpoint: service.URL(), Role: types.ChannelRoleViewer,
			ClientID: "tablet", Browser: b}.Join(t, "offer")
		p.ShowsBars(t, "#remote")
		pages = append(pages, p)
	}
	nft := func(words ...string) {
		t.Helper()
		if _, stderr, code := rig.Run(t, 10*time.Second, rig.Environment("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "nft",
			words...); code != 0 {
			t.Fatalf("nft: %s", stderr)
		}
	}
	nft("-f", rig.WriteFile(t, "cut.nft", fmt.Sprintf(`table inet cut {
	chain in { type filter hook input priority 0; meta l4proto udp drop; tcp dport %s drop; tcp sport %[1]s drop; }
}
`, u.Port())))
	time.Sleep(networkCut / 2)
	before := make([]rig.Stats, len(pages))
	for i, p := range pages {
		before[i] = p.Stats()
	}
	time.Sleep(networkCut / 2)
	for i, p := range pages {
		if now := p.Stats(); now.Video.Received != before[i].Video.Received {
			t.Errorf("%s: pictures come through the cut: %d, then %d", p.Browser.Name, before[i].Video.Received,
				now.Video.Received)
		}
	}
	nft("delete", "table", "inet", "cut")
	back := time.Now()
	took := map[string]time.Duration{}
	rig.Eventually(t, 30*time.Second, "all pages have pictures again", func() (bool, any) {
		for i, p := range pages {
			if took[p.Browser.Name] == 0 && p.Stats().Video.Frames >= before[i].Video.Frames+5 {
				took[p.Browser.Name] = time.Since(back).Round(100 * time.Millisecond)
			}
		}
		return len(took) == len(pages), took
	})
	t.Logf("pictures again, after the network was back: %v", took)
	for _, p := range pages {
		p.ShowsBars(t, "#remote")
		// Pictures are back before the browser's next check of the path is, by which it goes.
		rig.Eventually(t, 30*time.Second, p.Browser.Name+" has the one connection that there was", func() (bool, any) {
			got := p.Stats().Connections
			return len(got) == 1 && got[0] == "connected", got
		})
		agent.Connected(t, "cut-"+p.Browser.Name)
	}
}
