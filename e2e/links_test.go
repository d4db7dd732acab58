package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/impair"
	"github.com/kvsagent/kvsagent/status"
)

// What TestLinks does with the viewer that freezes.
const (
	linksSettle = 3 * time.Second // all watch
	linksFreeze = 8 * time.Second // it is stopped
	linksThaw   = 4 * time.Second // it goes on
)

// sending is what the agent says of the video that it sends to a client.
func (a *agent) sending(t *testing.T, channel, client string) (s status.Track) {
	t.Helper()
	for _, p := range a.channel(t, channel).Peers {
		if p.ClientID == client && len(p.Sending) > 0 {
			return p.Sending[0]
		}
	}
	return s
}

// TestLinks: several watch one camera, each over a link of its own, and one of them is stopped and goes on. Who has a good link loses
// nothing meanwhile, who has a bad one no more than the link takes.
func TestLinks(t *testing.T) {
	cameras := startLive(t, map[string]*reel{"main": clipOf(t, mainClip), "sub": clipOf(t, subClip)})
	service := startKVS(t)
	port := freeUDPPort(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
webrtc: {udp_port: %d}
channels: {links: {source: gate, create: true}}
`, cameras.URL("main"), port))
	arn := agent.connected(t, "links")
	type viewer struct {
		link  impair.Link
		relay *impair.Relay
		page  *page
	}
	viewers := map[string]*viewer{
		"good":  {link: impair.Link{Delay: 5 * time.Millisecond}},
		"lossy": {link: impair.Link{Rate: 12_000_000, Delay: 25 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.01}},
	}
	for id, v := range viewers {
		v.relay = startRelay(t, port, 3)
		v.relay.Set(v.link, impair.Link{Delay: v.link.Delay})
		v.page = sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: id, through: v.relay.Addr().Port()}.join(t, "offer")
		eventually(t, 20*time.Second, id+" has a picture", func() (bool, any) {
			s := v.page.stats()
			return s.Video.Frames > 10, s.Video
		})
	}
	frozen := start(t, environment(keys...), binary, "view", "links", "--endpoint", service.URL, "--client-id", "frozen", "-o", "json",
		"--duration", (linksSettle + linksFreeze + linksThaw).String())
	eventually(t, 10*time.Second, "the one that will freeze watches", func() (bool, any) {
		s := agent.sending(t, "links", "frozen")
		return s.Frames > 10, s
	})
	pause(t, linksSettle)
	from, before := time.Now(), map[string]stats{}
	for id, v := range viewers {
		before[id] = v.page.stats()
	}
	frozen.signal(syscall.SIGSTOP)
	pause(t, linksFreeze)
	frozen.signal(syscall.SIGCONT)
	pause(t, linksThaw)
	to := time.Now()
	made := int(to.Sub(from) / clipTick)
	for id, v := range viewers {
		was, now := before[id].Video, v.page.stats().Video
		f := v.page.presented(cameras, 0)
		down, _ := v.relay.Counts()
		freezes, longest := f.between(from, to).freezes()
		said := agent.sending(t, "links", id)
		t.Logf("%s: %d pictures made, %d received, %d presented, %d dropped by the agent, %d packets lost for good, %d asked for again; the link lost %d of %d; %d freezes, longest gap %v",
			id, made, now.Received-was.Received, len(f.between(from, to)), said.Dropped, now.Lost-was.Lost, now.NACKs-was.NACKs, down.Lost+down.Dropped, down.Packets, freezes, longest)
		if bad := f.garbled(); len(bad) > 0 {
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
		if got := now.Received - was.Received; got < made-clipFPS/2 || got > made+clipFPS/2 {
			t.Errorf("%s: %d pictures received of %d", id, got, made)
		}
	}
	if code := frozen.wait(t, linksSettle+linksFreeze+linksThaw); code != 0 {
		t.Errorf("the one that froze: exit %d", code)
	}
	var got watched
	if err := json.Unmarshal([]byte(frozen.stdout.String()), &got); err != nil {
		t.Fatalf("the one that froze has written %q: %v", frozen.stdout.String(), err)
	}
	t.Logf("the one that froze: %+v", got.Video)
	if least := int((linksSettle + linksThaw) / 2 / clipTick); got.Video.Frames < least {
		t.Errorf("the one that froze has seen %d pictures, want half of those before and after, %d", got.Video.Frames, least)
	}
}

// pause is a time that a test gives to what it watches.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
