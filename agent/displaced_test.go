package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// TestAnotherMaster: an agent elsewhere connects to the channel, and KVS gives it the messages. The offer of our own
// page is not heard, so the agent asks, says that it is displaced, and takes the channel back; the other one can tell,
// too.
func TestAnotherMaster(t *testing.T) {
	s := service(t)
	ours, _ := start(t, parse(t, s, gate))
	cfg := parse(t, s, gate)
	// Another name of the service, as on another host, so that the lock of this one does not keep them apart.
	cfg.AWS.Endpoint = strings.Replace(cfg.AWS.Endpoint, "127.0.0.1", "localhost", 1)
	start(t, cfg)

	run(t, func(ctx context.Context) {
		_ = ours.Watch(ctx, "gate", "v=0\r\n", func(status.Signal) error { return nil }) // ends with the test
	})
	var seen []string
	eventually(t, "the channel is lost and taken back", func() bool {
		c := channel(ours, "gate")
		if len(seen) == 0 || seen[len(seen)-1] != c.State {
			seen = append(seen, c.State)
		}
		return c.Displaced > 0 && c.State == "connected" && c.Connects == 2
	})
	if !slices.Contains(seen, "displaced") {
		t.Errorf("the states were %q, want displaced among them", seen)
	}
	join(t, s, "gate", "visitor").watch().plays(t, 5)
	if n := len(channel(ours, "gate").Peers); n != 1 {
		t.Errorf("%d sessions with the agent that took the channel back, want the visitor's", n)
	}
}
