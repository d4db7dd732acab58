package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestChannelIsTaken: an owner tries the agent beside the service that runs already. The second one ends at once with
// 75 and names the first, which goes on as the master.
func TestChannelIsTaken(t *testing.T) {
	t.Parallel()
	address := rig.FreeAddress(t)
	service := rig.Start(t, rig.Environment(), rig.Binary, "localkvs", "--listen", address)
	service.Find(t, &service.Stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)
	config := "sources: {pattern: {url: \"testpattern:\"}}\nchannels: {taken: {source: pattern, create: true}}\n"
	first := rig.StartAgent(t, rig.Environment(rig.Keys...), "http://"+address, "", config)
	first.Connected(t, "taken")
	text := fmt.Sprintf("aws: {region: %s, endpoint: \"http://%s\"}\nstatus: {listen: \"off\"}\n%s",
		rig.Region, address, config)
	second := rig.Start(t, rig.Environment(rig.Keys...), rig.Binary, "run", "-c",
		rig.WriteFile(t, "second.yaml", text))
	if code := second.Wait(t, 20*time.Second); code != 75 {
		t.Errorf("the second ended with %d, want 75", code)
	}
	if want := fmt.Sprintf("process %d of this host", first.Cmd.Process.Pid); len(second.Stderr.Lines(want)) == 0 {
		t.Errorf("the second does not name the first, %s: %s", want, strings.Join(second.Stderr.Lines(""), "\n"))
	}
	if c := first.Channel(t, "taken"); c.State != "connected" || c.Connects != 1 {
		t.Errorf("the first is %s after %d connects", c.State, c.Connects)
	}
}
