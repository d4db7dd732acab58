package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestMulticast: two sources that ask for multicast hear one camera at a time, picture and sound, and a viewer sees it through the binary.
func TestMulticast(t *testing.T) {
	if !inside(t, 2*time.Minute) {
		return
	}
	good := encodeClip(t)
	cam := newFakeCamera(t, good, func(c *fakeCamera) {
		_, port, err := net.SplitHostPort(c.Address)
		if err != nil {
			t.Fatal(err)
		}
		c.Address, c.group, c.sound = net.JoinHostPort(home, port), netip.MustParsePrefix("239.9.0.0/24"), true
	})
	multicast := func(o *rtsp.Options) { o.Transport = rtsp.Multicast }
	for _, a := range []*audience{cam.watch(t, multicast), cam.watch(t, multicast)} {
		a.sees(t, 50, 15*time.Second)
		a.steady(t)
		a.begins(t, good)
		if n := len(a.of(media.PCMU)); n < 50 {
			t.Errorf("%d packets of sound beside 50 pictures", n)
		}
	}

	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q, transport: multicast}}
channels: {many: {source: gate, create: true}}
`, cam.URL()))
	agent.connected(t, "many")
	out, errs, code := run(t, 40*time.Second, environment(keys...), binary, "view", "many", "--endpoint", service.URL, "--duration", "3s", "-o", "json")
	var got watched
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Video.Frames < 50 || got.Audio.Packets < 100 {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errs)
	}
	cam.mu.Lock()
	defer cam.mu.Unlock()
	for _, way := range cam.ways {
		if way != gortsplib.ProtocolUDPMulticast {
			t.Errorf("a track was set up for %v", way)
		}
	}
	if len(cam.ways) != 6 {
		t.Errorf("%d tracks were set up, want two for each of three", len(cam.ways))
	}
	t.Logf("the viewer saw %d pictures and %d packets of sound", got.Video.Frames, got.Audio.Packets)
}
