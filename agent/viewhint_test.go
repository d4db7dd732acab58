package agent

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// TestViewNamesStrayMedia: a viewer that is sent media of no section of the answer is told that, and not that the
// camera may be off. Once there is a picture, a stray stream besides is no reason for anything.
func TestViewNamesStrayMedia(t *testing.T) {
	r := status.Channel{Peers: []status.Peer{{State: "connected", Stray: "media that belongs to no section"}}}
	v := View{}
	v.update(r, &firstFrame{})
	if !v.Connected || !strings.Contains(v.Error, "no section") {
		t.Errorf("connected: %v, error: %q", v.Connected, v.Error)
	}
	seen := View{FirstFrameMS: 1}
	seen.update(r, &firstFrame{})
	if seen.Error != "" {
		t.Errorf("with a picture: %q", seen.Error)
	}
}
