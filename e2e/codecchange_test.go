package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// turningCamera is a command that writes VP9, and VP8 when it is started again after turn was called.
func turningCamera(t *testing.T) (url string, turn func()) {
	t.Helper()
	dir := t.TempDir()
	line := func(encoder string) string { return strings.TrimPrefix(rig.BarsCommand(encoder), "exec:") }
	script, turned := filepath.Join(dir, "camera.sh"), filepath.Join(dir, "turned")
	text := fmt.Sprintf("if [ -e %q ]; then exec %s; fi\nexec %s\n", turned, line(rig.IVF["VP8"]), line(rig.IVF["VP9"]))
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "exec:sh " + script, func() {
		t.Helper()
		if err := os.WriteFile(turned, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCodecChange: browsers show the other codec in the same session, without a word over signaling.
func TestCodecChange(t *testing.T) {
	service := rig.StartKVS(t)
	url, turn := turningCamera(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q}}
channels: {turning: {source: command, create: true}}
`, url))
	arn := agent.Connected(t, "turning")
	var pages []*rig.Page
	for _, b := range []*rig.Browser{&rig.Chromium, &rig.Firefox} {
		p := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: b.Name,
			Browser: b}.Join(t, "offer")
		pages = append(pages, p)
	}
	for _, p := range pages {
		p.Pictures(rig.CodecFPS, "video/VP9")
	}
	turn() // when both have seen the first codec, however long that takes
	agent.SignalChildren(t, "ffmpeg", syscall.SIGTERM)
	for _, p := range pages {
		p.Pictures(2*rig.CodecFPS, "video/VP8")
		p.ShowsBars(t, "#remote")
	}
	agent.Says(t, "the source changed its codec", "from=VP9", "to=VP8")
	if c := agent.Channel(t, "turning"); len(c.Ended) != 0 || len(c.Peers) != 2 {
		t.Errorf("%d sessions, and %d that are over; want two and none", len(c.Peers), len(c.Ended))
	}
}
