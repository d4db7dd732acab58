package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/impair"
	"github.com/kvsagent/kvsagent/e2e/rig"
)

// The link between an agent and its viewer.
var squeezeWide, squeezeNarrow = impair.Link{Rate: 8_000_000, Delay: 15 * time.Millisecond}, impair.Link{Rate: 600_000,
	Delay: 15 * time.Millisecond}

// How long the link is wide, narrow, and wide again.
const (
	squeezeBefore = 6 * time.Second
	squeezeFor    = 14 * time.Second
	squeezeAfter  = 20 * time.Second
	squeezeAll    = squeezeBefore + squeezeFor + squeezeAfter
)

// moment is what was to be seen of a squeezed connection at some time.
type moment struct {
	Second   float64 // since the beginning
	Link     float64 // kbit/s that the relay lets through
	Offered  float64 // kbit/s that came to the relay from the agent, since the moment before
	Passed   float64 // and went on
	Waiting  float64 // milliseconds in the relay's queue
	Dropped  uint64  // packets, since the beginning
	Estimate float64 // kbit/s that the agent believes in
	Level    string  // main, sub: what the agent says that it sends
}

// squeezed is a run of it.
type squeezed struct {
	Name    string
	Begin   time.Time
	Moments []moment
	Film    rig.Film
	Stats   rig.Stats
}

// level is how the agent's report tells of adaptation.
type level struct {
	Level    string  `json:"level"`
	Estimate float64 `json:"estimate_bps"`
}

// levelOf is that of the only viewer of a channel; empty while there is none.
func levelOf(t *testing.T, a *rig.Agent, channel, client string) level {
	t.Helper()
	http := http.Client{Timeout: 5 * time.Second}
	resp, err := http.Get(a.StatusURL + "/api/v1/report")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r struct {
		Channels []struct {
			Name  string `json:"name"`
			Peers []struct {
				ClientID string `json:"client_id"`
				level
			} `json:"peers"`
		} `json:"channels"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Channels {
		for _, p := range c.Peers {
			if c.Name == channel && p.ClientID == client {
				return p.level
			}
		}
	}
	return level{}
}

// squeeze watches a channel through a relay whose link becomes narrow and wide again.
func squeeze(t *testing.T, l *rig.LiveCamera, service *rig.KVS, agent *rig.Agent, channel string,
	port uint16) *squeezed {
	t.Helper()
	relay := rig.StartRelay(t, port, 7)
	up := impair.Link{Delay: squeezeWide.Delay}
	relay.Set(squeezeWide, up)
	p := rig.SDK{ARN: agent.Connected(t, channel), Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: "v1",
		Through: relay.Addr().Port()}.Join(t, "offer")
	defer p.Call(nil, "leave")
	rig.Eventually(t, 20*time.Second, "a picture", func() (bool, any) {
		var rows [][4]float64
		p.Call(&rows, "presented", 0)
		return len(rows) > 0, "none"
	})
	s := &squeezed{Name: channel, Begin: time.Now()}
	link, before, last := squeezeWide, impair.Counts{}, s.Begin
	before, _ = relay.Counts()
	dropped := before.Dropped
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for range every.C {
		now := time.Now()
		since := now.Sub(s.Begin)
		if since > squeezeAll {
			break
		}
		want := squeezeWide
		if since >= squeezeBefore && since < squeezeBefore+squeezeFor {
			want = squeezeNarrow
		}
		if want != link {
			link = want
			relay.Set(link, up)
		}
		down, _ := relay.Counts()
		kbit := func(bytes uint64) float64 { return float64(bytes) * 8 / 1000 / now.Sub(last).Seconds() }
		said := levelOf(t, agent, channel, "v1")
		s.Moments = append(s.Moments, moment{
			Second: since.Seconds(), Link: float64(link.Rate) / 1000, Offered: kbit(down.Bytes - before.Bytes),
			Passed:  kbit(down.Out - before.Out),
			Waiting: rig.Millis(down.Waiting), Dropped: down.Dropped - dropped, Estimate: said.Estimate / 1000,
			Level: said.Level,
		})
		before, last = down, now
	}
	s.Film, s.Stats = p.Presented(l, 0), p.Stats()
	return s
}

// TestSqueeze: the link of a viewer becomes too narrow for the camera's main stream, and wide again; with a smaller
// stream beside the main one, and without. Times are printed, what was seen is checked. KVSAGENT_TEST_OUT=DIR keeps and
// draws it; KVSAGENT_TEST_GOALS=1, on a machine that does nothing else, checks the times too.
func TestSqueeze(t *testing.T) {
	goals := os.Getenv("KVSAGENT_TEST_GOALS") != ""
	cameras := rig.StartLive(t, map[string]*rig.Reel{"main": rig.ReelOf(t, mainClip), "sub": rig.ReelOf(t, subClip)})
	service := rig.StartKVS(t)
	port := rig.FreeUDPPort(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  both: {url: %[1]q, sub: %[2]q}
  alone: {url: %[1]q}
webrtc: {udp_port: %[3]d}
channels:
  squeeze-both: {source: both, create: true}
  squeeze-alone: {source: alone, create: true}
`, cameras.URL("main"), cameras.URL("sub"), port))
	if n := cameras.Players("sub"); n != 0 {
		t.Errorf("the sub stream is played by %d while nobody watches", n)
	}
	names := []string{"with a sub stream", "without one"}
	var columns [][]rig.Chart
	for i, channel := range []string{"squeeze-both", "squeeze-alone"} {
		s := squeeze(t, cameras, service, agent, channel, port)
		v := s.verdict(subClip.Width, mainClip.Width)
		t.Logf("%s: %v", names[i], v)
		rig.Keep(t, channel+".json", s)
		columns = append(columns, s.charts(subClip.Width))
		if v.garbled > 0 {
			t.Errorf("%s: %d of %d pictures are not the camera's: %+v", names[i], v.garbled, len(s.Film),
				s.Film.Garbled())
		}
		if got := s.Stats.Connections; len(got) != 1 || got[0] != "connected" {
			t.Errorf("%s: connections = %v, want the first one still", names[i], got)
		}
		if v.last > max(time.Second, 3*v.before) {
			t.Errorf("%s: when the link is wide again the picture is %v old; before it was narrow, %v at most",
				names[i], v.last, v.before)
		}
		if i == 0 && (v.down < 0 || v.up < 0) {
			t.Errorf("%s: want sub on the screen, and main again", names[i])
		}
		if i == 0 && goals && (v.slow > time.Second || v.down > 3*time.Second || v.up > 15*time.Second) {
			t.Errorf("%s: want 10 pictures in each second, sub within 3 s, main within 15 s", names[i])
		}
	}
	if n := cameras.Players("sub"); n != 0 {
		t.Errorf("the sub stream is played by %d, long after its viewer has gone", n)
	}
	rig.Keep(t, "squeeze.svg", rig.DrawCharts(squeezeAll.Seconds(), names, columns,
		"shaded: the sub stream is on the screen"))
}
