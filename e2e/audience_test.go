package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/status"
)

// audience is an agent that watches as many viewers, each under a client ID of its own.
type audience struct{ *rig.Agent }

// watching starts n viewers of the channels that channel names.
func watching(t *testing.T, url string, n int, channel func(viewer int) string) audience {
	t.Helper()
	var config strings.Builder
	config.WriteString("channels:\n")
	for v := range n {
		fmt.Fprintf(&config, "  v%d: {channel_name: %s, role: viewer, client_id: tablet-%d}\n", v, channel(v), v)
	}
	return audience{rig.StartAgent(t, rig.Environment(rig.Keys...), url, "", config.String())}
}

// frames counts the pictures of each session that has shown one, by viewer and session.
func (a audience) frames() map[string]uint64 {
	out := map[string]uint64{}
	r, err := a.Report()
	if err != nil {
		return out
	}
	for _, c := range r.Channels {
		for _, p := range c.Peers {
			if pictured(p) {
				out[c.Name+" "+p.Session] = p.Receiving[0].Frames
			}
		}
	}
	return out
}

// pictured says whether a session has shown a picture.
func pictured(p status.Peer) bool { return len(p.Receiving) > 0 && p.Receiving[0].KeyFrames > 0 }
