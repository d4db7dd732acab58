package e2e

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// networkCut is how long nothing goes through: longer than a browser waits before it says "disconnected", shorter than ICE's patience.
const networkCut = 20 * time.Second

// TestNetworkCut: between the agent and a page nothing goes through for a while, neither media nor signaling. The picture comes back by itself, in the same
// page and over the same connection.
func TestNetworkCut(t *testing.T) {
	if !inside(t, 4*time.Minute) {
		return
	}
	service := startService(t)
	u, err := url.Parse(service.URL())
	if err != nil {
		t.Fatal(err)
	}
	cam := startCamera(t, "127.0.0.1:0", "", "", opusAudio)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources:
  h264: {url: %q}
  vp8: {url: %q}
channels:
  cut-chromium: {source: h264, create: true}
  cut-firefox: {source: vp8, create: true}
`, cam.URL(), barsCommand(ivf["VP8"])))
	var pages []*page
	for _, b := range []*browser{&chromium, &firefox} {
		p := sdk{arn: agent.connected(t, "cut-"+b.name), endpoint: service.URL(), role: types.ChannelRoleViewer, clientID: "tablet", browser: b}.join(t, "offer")
		p.showsBars(t, "#remote")
		pages = append(pages, p)
	}
	nft := func(words ...string) {
		t.Helper()
		if _, stderr, code := run(t, 10*time.Second, environment("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "nft", words...); code != 0 {
			t.Fatalf("nft: %s", stderr)
		}
	}
	nft("-f", writeFile(t, "cut.nft", fmt.Sprintf(`table inet cut {
	chain in { type filter hook input priority 0; meta l4proto udp drop; tcp dport %s drop; tcp sport %[1]s drop; }
}
`, u.Port())))
	time.Sleep(networkCut / 2)
	before := make([]stats, len(pages))
	for i, p := range pages {
		before[i] = p.stats()
	}
	time.Sleep(networkCut / 2)
	for i, p := range pages {
		if now := p.stats(); now.Video.Received != before[i].Video.Received {
			t.Errorf("%s: pictures come through the cut: %d, then %d", p.browser.name, before[i].Video.Received, now.Video.Received)
		}
	}
	nft("delete", "table", "inet", "cut")
	back := time.Now()
	took := map[string]time.Duration{}
	eventually(t, 30*time.Second, "all pages have pictures again", func() (bool, any) {
		for i, p := range pages {
			if took[p.browser.name] == 0 && p.stats().Video.Frames >= before[i].Video.Frames+5 {
				took[p.browser.name] = time.Since(back).Round(100 * time.Millisecond)
			}
		}
		return len(took) == len(pages), took
	})
	t.Logf("pictures again, after the network was back: %v", took)
	for _, p := range pages {
		p.showsBars(t, "#remote")
		// Pictures are back before the browser's next check of the path is, by which it goes.
		eventually(t, 30*time.Second, p.browser.name+" has the one connection that there was", func() (bool, any) {
			got := p.stats().Connections
			return len(got) == 1 && got[0] == "connected", got
		})
		agent.connected(t, "cut-"+p.browser.name)
	}
}
