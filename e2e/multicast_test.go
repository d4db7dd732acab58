package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestMulticast: two sources that ask for multicast hear one camera at a time, picture and sound, and a viewer sees it
// through the binary.
func TestMulticast(t *testing.T) {
	t.Parallel()
	if !rig.Inside(t, 2*time.Minute) {
		return
	}
	good := rig.EncodeClip(t)
	cam := rig.NewFakeCamera(t, good, func(c *rig.FakeCamera) {
		_, port, err := net.SplitHostPort(c.Address)
		if err != nil {
			t.Fatal(err)
		}
		c.Address, c.Group, c.Sound = net.JoinHostPort(rig.Home, port), netip.MustParsePrefix("239.9.0.0/24"), true
	})
	multicast := func(o *rtsp.Options) { o.Transport = rtsp.Multicast }
	for _, a := range []*rig.Audience{cam.Watch(t, multicast), cam.Watch(t, multicast)} {
		a.Sees(t, 50, 15*time.Second)
		a.Steady(t)
		a.Begins(t, good)
		if n := len(a.Of(media.PCMU)); n < 50 {
			t.Errorf("%d packets of sound beside 50 pictures", n)
		}
	}

	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q, transport: multicast}}
channels: {many: {source: gate, create: true}}
`, cam.URL()))
	agent.Connected(t, "many")
	out, errs, code := rig.Run(t, 40*time.Second, rig.Environment(rig.Keys...), rig.Binary, "view", "many",
		"--endpoint", service.URL, "--duration", "3s", "-o", "json")
	var got rig.Watched
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Video.Frames < 50 ||
		got.Audio.Packets < 100 {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errs)
	}
	cam.Mu.Lock()
	defer cam.Mu.Unlock()
	for _, way := range cam.Ways {
		if way != gortsplib.ProtocolUDPMulticast {
			t.Errorf("a track was set up for %v", way)
		}
	}
	if len(cam.Ways) != 6 {
		t.Errorf("%d tracks were set up, want two for each of three", len(cam.Ways))
	}
	t.Logf("the viewer saw %d pictures and %d packets of sound", got.Video.Frames, got.Audio.Packets)
}
