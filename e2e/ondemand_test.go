package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestOnDemand counts the sessions that a camera has at a time: one for all channels and viewers of a source, none when
// the last of them has been gone for linger, and of the smaller stream one while somebody needs it. A source that is
// kept warm has one always.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	const linger, usual = 2 * time.Second, 10 * time.Second // usual is that of a source that says nothing of it
	light, heavy := rig.ReelOf(t, subClip), rig.ReelOf(t, mainClip)
	camera := rig.StartLive(t, map[string]*rig.Reel{"main": light, "small": light, "heavy": heavy, "sub": light,
		"warm": light})
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  gate: {url: %q, sub: %q, linger: %v}
  hall: {url: %q, keep_warm: true}
  yard: {url: %q, sub: %q, linger: %v}
channels:
  front: {source: gate, create: true}
  back: {source: gate, create: true}
  hall: {source: hall, create: true}
  yard: {source: yard, create: true}
`, camera.URL("main"), camera.URL("small"), linger, camera.URL("warm"), camera.URL("heavy"), camera.URL("sub"), linger))
	watch := func(channel, id string, more ...string) *rig.Process {
		t.Helper()
		p := rig.Start(t, rig.Environment(rig.Keys...), rig.Binary,
			append([]string{"view", channel, "--client-id", id}, more...)...)
		rig.Eventually(t, 20*time.Second, id+" has a picture", func() (bool, any) {
			s := agent.Sending(t, channel, id)
			return s.Frames > 10, s
		})
		return p
	}
	for _, name := range []string{"front", "back", "hall", "yard"} {
		agent.Connected(t, name)
	}
	camera.Holds(t, 10*time.Second, "warm", 1)
	for _, path := range []string{"main", "small", "heavy", "sub"} {
		if n := camera.Players(path); n != 0 {
			t.Errorf("before anybody came, %d sessions play %s", n, path)
		}
	}

	var all []*rig.Process
	for i, channel := range []string{"front", "front", "back"} {
		all = append(all, watch(channel, fmt.Sprint("viewer-", i), "--endpoint", service.URL))
		if n := camera.Players("main"); n != 1 {
			t.Errorf("with %d viewers, %d sessions play main", i+1, n)
		}
	}
	// At hand until a probe has shown that the paths are wide, of which there is one each 20 s.
	camera.Holds(t, time.Minute, "small", 0)

	// A viewer whom only TURN reaches has 5 Mbit/s, which is little more than the heavy stream.
	relayed := watch("yard", "relayed", "-c", rig.WriteFile(t, "view.yaml", fmt.Sprintf(
		"aws: {region: %s, endpoint: %q}\nwebrtc: {ice_transport_policy: relay}\nchannels: {yard: {role: viewer}}\n",
		rig.Region, service.URL)))
	camera.Holds(t, 20*time.Second, "sub", 1)
	relayed.Stop()
	camera.Holds(t, 20*time.Second, "sub", 0)
	camera.Holds(t, 20*time.Second, "heavy", 0)

	watch("hall", "guest", "--endpoint", service.URL).Stop()
	gone := time.Now()
	for _, p := range all[1:] {
		p.Stop()
	}
	rig.Eventually(t, 10*time.Second, "one viewer is left", func() (bool, any) {
		front, back := agent.Channel(t, "front").Peers, agent.Channel(t, "back").Peers
		return len(front) == 1 && len(back) == 0, append(front, back...)
	})
	if n := camera.Players("main"); n != 1 {
		t.Errorf("with one viewer left, %d sessions play main", n)
	}
	left := time.Now()
	all[0].Stop()
	camera.Holds(t, 15*time.Second, "main", 0)
	if d := time.Since(left); d < linger {
		t.Errorf("the camera was left %v after the last viewer, want linger, %v", d, linger)
	}
	rig.Pause(t, time.Until(gone.Add(usual+2*time.Second)))
	if n := camera.Players("warm"); n != 1 {
		t.Errorf("%v after its viewer has gone, %d sessions play the source that is kept warm", time.Since(gone), n)
	}
	if r, err := agent.Report(); err != nil || r.Sources[0].State != "idle" || r.Sources[1].State != "running" {
		t.Errorf("the report says %+v, %v", r.Sources, err)
	}
}
