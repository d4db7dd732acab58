package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// turningCamera is a command that writes VP9 for some seconds and ends, and VP8 whenever it is started again.
func turningCamera(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	line := func(encoder string) string { return strings.TrimPrefix(rig.BarsCommand(encoder), "exec:") }
	script := filepath.Join(dir, "camera.sh")
	text := fmt.Sprintf("cd %q\nif [ -e turned ]; then exec %s; fi\ntouch turned\nexec %s\n", dir, line(rig.IVF["VP8"]), line("-t 15 "+rig.IVF["VP9"]))
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "exec:sh " + script
}

// TestCameraTurnsToAnotherCodec: browsers show the other codec in the same session, without a word over signaling.
func TestCameraTurnsToAnotherCodec(t *testing.T) {
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q}}
channels: {turning: {source: command, create: true}}
`, turningCamera(t)))
	arn := agent.Connected(t, "turning")
	var pages []*rig.Page
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		p := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: b.Name, Browser: b}.Join(t, "offer")
		pages = append(pages, p)
	}
	for _, p := range pages {
		p.Pictures(rig.CodecFPS, "video/VP9")
	}
	for _, p := range pages {
		p.Pictures(2*rig.CodecFPS, "video/VP8")
		p.ShowsBars(t, "#remote")
	}
	agent.Says(t, "the source changed its codec", "from=VP9", "to=VP8")
	if c := agent.Channel(t, "turning"); len(c.Ended) != 0 || len(c.Peers) != 2 {
		t.Errorf("%d sessions, and %d that are over; want two and none", len(c.Peers), len(c.Ended))
	}
}
