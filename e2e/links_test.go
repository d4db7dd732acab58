package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/impair"
	"github.com/kvsagent/kvsagent/e2e/rig"
)

// What TestLinks does with the viewer that freezes.
const (
	linksSettle = 3 * time.Second // all watch
	linksFreeze = 8 * time.Second // it is stopped
	linksThaw   = 4 * time.Second // it goes on
)

// TestLinks: several watch one camera, each over a link of its own, and one of them is stopped and goes on. Who has a
// good link loses nothing meanwhile, who has a bad one no more than the link takes.
func TestLinks(t *testing.T) {
	cameras := rig.StartLive(t, map[string]*rig.Reel{"main": rig.ReelOf(t, mainClip), "sub": rig.ReelOf(t, subClip)})
	service := rig.StartKVS(t)
	port := rig.FreeUDPPort(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
webrtc: {udp_port: %d}
channels: {links: {source: gate, create: true}}
`, cameras.URL("main"), port))
	arn := agent.Connected(t, "links")
	type viewer struct {
		link  impair.Link
		relay *impair.Relay
		page  *rig.Page
	}
	viewers := map[string]*viewer{
		"good": {link: impair.Link{Delay: 5 * time.Millisecond}},
		"lossy": {link: impair.Link{Rate: 12_000_000, Delay: 25 * time.Millisecond, Jitter: 10 * time.Millisecond,
			Loss: 0.01}},
	}
	for id, v := range viewers {
		v.relay = rig.StartRelay(t, port, 3)
		v.relay.Set(v.link, impair.Link{Delay: v.link.Delay})
		v.page = rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: id,
			Through: v.relay.Addr().Port()}.Join(t, "offer")
		rig.Eventually(t, 20*time.Second, id+" has a picture", func() (bool, any) {
			s := v.page.Stats()
			return s.Video.Frames > 10, s.Video
		})
	}
	frozen := rig.Start(t, rig.Environment(rig.Keys...), rig.Binary, "view", "links", "--endpoint", service.URL,
		"--client-id", "frozen", "-o", "json",
		"--duration", (linksSettle + linksFreeze + linksThaw).String())
	rig.Eventually(t, 10*time.Second, "the one that will freeze watches", func() (bool, any) {
		s := agent.Sending(t, "links", "frozen")
		return s.Frames > 10, s
	})
	rig.Pause(t, linksSettle)
	from, before := time.Now(), map[string]rig.Stats{}
	for id, v := range viewers {
		before[id] = v.page.Stats()
	}
	frozen.Signal(syscall.SIGSTOP)
	rig.Pause(t, linksFreeze)
	frozen.Signal(syscall.SIGCONT)
	rig.Pause(t, linksThaw)
	to := time.Now()
	made := int(to.Sub(from) / rig.ReelTick)
	for id, v := range viewers {
		was, now := before[id].Video, v.page.Stats().Video
		f := v.page.Presented(cameras, 0)
		down, _ := v.relay.Counts()
		freezes, longest := f.Between(from, to).Freezes()
		said := agent.Sending(t, "links", id)
		t.Logf("%s: %d pictures made, %d received, %d presented, %d dropped by the agent, %d packets lost for good, "+
			"%d asked for again; the link lost %d of %d; %d freezes, longest gap %v",
			id, made, now.Received-was.Received, len(f.Between(from, to)), said.Dropped,
			now.Lost-was.Lost, now.NACKs-was.NACKs, down.Lost+down.Dropped, down.Packets, freezes, longest)
		if bad := f.Garbled(); len(bad) > 0 {
			t.Errorf("%s: %d of %d pictures are not the camera's: %+v", id, len(bad), len(f), bad)
		}
		if said.Dropped > 0 {
			t.Errorf("%s: the agent dropped %d pictures", id, said.Dropped)
		}
		if id != "good" {
			continue
		}
		if lost := now.Lost - was.Lost; lost != 0 {
			t.Errorf("%s: %d packets are lost on a link that loses none", id, lost)
		}
		if got := now.Received - was.Received; got < made-rig.ReelFPS/2 || got > made+rig.ReelFPS/2 {
			t.Errorf("%s: %d pictures received of %d", id, got, made)
		}
	}
	if code := frozen.Wait(t, linksSettle+linksFreeze+linksThaw); code != 0 {
		t.Errorf("the one that froze: exit %d", code)
	}
	var got rig.Watched
	if err := json.Unmarshal([]byte(frozen.Stdout.String()), &got); err != nil {
		t.Fatalf("the one that froze has written %q: %v", frozen.Stdout.String(), err)
	}
	t.Logf("the one that froze: %+v", got.Video)
	if least := int((linksSettle + linksThaw) / 2 / rig.ReelTick); got.Video.Frames < least {
		t.Errorf("the one that froze has seen %d pictures, want half of those before and after, %d",
			got.Video.Frames, least)
	}
}
