package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/status"
)

// cutFor is how long TestSignalingCut takes signaling away: KVSAGENT_TEST_CUT, such as 5m, or 20 seconds.
func cutFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("KVSAGENT_TEST_CUT")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSignalingCut kills the signaling service under a master and a viewer, and starts it again: media goes on, not one
// frame is lost, and who comes afterwards is served.
func TestSignalingCut(t *testing.T) {
	t.Parallel()
	address, state := rig.FreeAddress(t), filepath.Join(t.TempDir(), "state.json")
	serve := func() *rig.Process {
		p := rig.Start(t, rig.Environment(), rig.Binary, "localkvs", "--listen", address, "--state-file", state)
		p.Find(t, &p.Stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)
		return p
	}
	service := serve()
	url := "http://" + address
	master := rig.StartAgent(t, rig.Environment(rig.Keys...), url, "", `
sources: {pattern: {url: "testpattern:?size=320x240&rate=25&gop=2s"}}
channels: {cut: {source: pattern, create: true}}
`)
	master.Connected(t, "cut")
	viewer := rig.StartAgent(t, rig.Environment(rig.Keys...), url, "",
		"channels: {cut: {role: viewer, client_id: tablet}}\n")
	received(t, viewer, 50)
	sessions := [2]string{onlyPeer(t, master).Session, onlyPeer(t, viewer).Session}
	source, sent := counted(t, master)

	service.Signal(syscall.SIGKILL)
	<-service.Ended
	began := time.Now()
	for _, a := range []*rig.Agent{master, viewer} {
		rig.Eventually(t, 5*time.Second, "the agent misses the service", func() (bool, any) {
			c := a.Channel(t, "cut")
			return c.State != "connected" && c.Error != "", c
		})
	}
	for end := began.Add(cutFor(t)); time.Now().Before(end); time.Sleep(time.Second) { // the length of the cut
		for _, a := range []*rig.Agent{master, viewer} {
			if p := onlyPeer(t, a); p.State != "connected" {
				t.Fatalf("%v after the cut the peer is %+v", time.Since(began).Round(time.Second), p)
			}
		}
	}
	sourceNow, sentNow := counted(t, master)
	got := received(t, viewer, sentNow)
	if lost := got.Lost + got.Dropped + onlyPeer(t, master).Sending[0].Dropped; lost != 0 {
		t.Errorf("%d packets or frames lost", lost)
	}
	if made, went := sourceNow-source, sentNow-sent; made > went+1 || went > made+1 {
		t.Errorf("the source made %d frames meanwhile, %d were sent", made, went)
	}
	if want := uint64(cutFor(t).Seconds()) * 25 * 9 / 10; sentNow-sent < want {
		t.Errorf("%d frames sent in %v, want %d and more", sentNow-sent, cutFor(t), want)
	}
	t.Logf("signaling was away for %v: %d frames made, %d sent, %d received in all, %d packets lost",
		time.Since(began).Round(time.Second), sourceNow-source, sentNow-sent, got.Frames, got.Lost)

	serve()
	back := time.Now()
	for _, a := range []*rig.Agent{master, viewer} {
		rig.Eventually(t, 70*time.Second, "the agent is back", func() (bool, any) {
			c := a.Channel(t, "cut")
			return c.State == "connected", c
		})
	}
	t.Logf("both were back %v after the service", time.Since(back).Round(100*time.Millisecond))
	if now := [2]string{onlyPeer(t, master).Session, onlyPeer(t, viewer).Session}; now != sessions {
		t.Errorf("sessions %v became %v", sessions, now)
	}
	rig.View(t, "view", "cut", "--endpoint", url, "--duration", "2s", "-o", "json")
	_, sentNow = counted(t, master)
	if got := received(t, viewer, sentNow); got.Lost != 0 {
		t.Errorf("%d packets lost in all", got.Lost)
	}
}

// onlyPeer is the agent's session with tablet, or with the master.
func onlyPeer(t *testing.T, a *rig.Agent) status.Peer {
	t.Helper()
	for _, p := range a.Channel(t, "cut").Peers {
		if p.ClientID == "" || p.ClientID == "tablet" {
			return p
		}
	}
	t.Fatalf("no session: %+v", a.Channel(t, "cut"))
	return status.Peer{}
}

// counted is how many frames the source has made and how many of them went to the viewer.
func counted(t *testing.T, a *rig.Agent) (source, sent uint64) {
	t.Helper()
	r, err := a.Report()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Channels[0].Peers {
		if p.ClientID == "tablet" {
			return r.Sources[0].Tracks[0].Frames, p.Sending[0].Frames
		}
	}
	t.Fatalf("no session: %+v", r.Channels)
	return 0, 0
}

// received waits until the viewer has n frames, and returns what it says of them.
func received(t *testing.T, a *rig.Agent, n uint64) (got status.Track) {
	t.Helper()
	rig.Eventually(t, 15*time.Second, "the viewer has all frames", func() (bool, any) {
		for _, p := range a.Channel(t, "cut").Peers {
			if len(p.Receiving) > 0 {
				got = p.Receiving[0]
			}
		}
		return got.Frames >= n, got
	})
	return got
}
