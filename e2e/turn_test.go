package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// turningCamera is a command that writes VP9 for some seconds and ends, and VP8 whenever it is started again.
func turningCamera(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	line := func(encoder string) string { return strings.TrimPrefix(barsCommand(encoder), "exec:") }
	script := filepath.Join(dir, "camera.sh")
	text := fmt.Sprintf("cd %q\nif [ -e turned ]; then exec %s; fi\ntouch turned\nexec %s\n", dir, line(ivf["VP8"]), line("-t 15 "+ivf["VP9"]))
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "exec:sh " + script
}

// TestCameraTurnsToAnotherCodec: browsers show the other codec in the same session, without a word over signaling.
func TestCameraTurnsToAnotherCodec(t *testing.T) {
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q}}
channels: {turning: {source: command, create: true}}
`, turningCamera(t)))
	arn := agent.connected(t, "turning")
	var pages []*page
	for _, b := range []*browser{&chromium, &firefox} {
		p := sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: b.name, browser: b}.join(t, "offer")
		pages = append(pages, p)
	}
	for _, p := range pages {
		p.pictures(codecFPS, "video/VP9")
	}
	for _, p := range pages {
		p.pictures(2*codecFPS, "video/VP8")
		p.showsBars(t, "#remote")
	}
	agent.says(t, "the source changed its codec", "from=VP9", "to=VP8")
	if c := agent.channel(t, "turning"); len(c.Ended) != 0 || len(c.Peers) != 2 {
		t.Errorf("%d sessions, and %d that are over; want two and none", len(c.Peers), len(c.Ended))
	}
}
