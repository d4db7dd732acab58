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
)

// The link between an agent and its viewer.
var squeezeWide, squeezeNarrow = impair.Link{Rate: 8_000_000, Delay: 15 * time.Millisecond}, impair.Link{Rate: 600_000, Delay: 15 * time.Millisecond}

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
	Film    film
	Stats   stats
}

// level is how the agent's report tells of adaptation.
type level struct {
	Level    string  `json:"level"`
	Estimate float64 `json:"estimate_bps"`
}

// level is that of the only viewer of a channel; empty while there is none.
func (a *agent) level(t *testing.T, channel, client string) level {
	t.Helper()
	http := http.Client{Timeout: 5 * time.Second}
	resp, err := http.Get(a.statusURL + "/api/v1/report")
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
func squeeze(t *testing.T, l *live, service *kvs, agent *agent, channel string, port uint16) *squeezed {
	t.Helper()
	relay := startRelay(t, port, 7)
	up := impair.Link{Delay: squeezeWide.Delay}
	relay.Set(squeezeWide, up)
	p := sdk{arn: agent.connected(t, channel), endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "v1", through: relay.Addr().Port()}.join(t, "offer")
	defer p.call(nil, "leave")
	eventually(t, 20*time.Second, "a picture", func() (bool, any) {
		var rows [][4]float64
		p.call(&rows, "presented", 0)
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
		said := agent.level(t, channel, "v1")
		s.Moments = append(s.Moments, moment{
			Second: since.Seconds(), Link: float64(link.Rate) / 1000, Offered: kbit(down.Bytes - before.Bytes), Passed: kbit(down.Out - before.Out),
			Waiting: ms(down.Waiting), Dropped: down.Dropped - dropped, Estimate: said.Estimate / 1000, Level: said.Level,
		})
		before, last = down, now
	}
	s.Film, s.Stats = p.presented(l, 0), p.stats()
	return s
}

// second is when, counted from the beginning.
func (s *squeezed) second(at time.Time) float64 { return at.Sub(s.Begin).Seconds() }

// reached is how long after from the first picture of the width was shown from which on all were, for a second; ok is false when there is none.
func (s *squeezed) reached(from time.Time, width int) (after time.Duration, ok bool) {
	var since time.Time
	for _, x := range s.Film.between(from, s.Begin.Add(squeezeAll)) {
		switch {
		case x.width != width:
			since = time.Time{}
		case since.IsZero():
			since = x.at
		}
		if !since.IsZero() && x.at.Sub(since) >= time.Second {
			return since.Sub(from), true
		}
	}
	return 0, false
}

// verdict is what of a run the goals speak of.
type verdict struct {
	fewest   int           // pictures in the worst second
	slow     time.Duration // the longest stretch of seconds with less than ten pictures, from the first one's beginning to the last one's end
	down, up time.Duration // until sub was on the screen, and main again; -1 is never
	freezes  int
	longest  time.Duration // between two pictures
	oldest   time.Duration // picture
	last     time.Duration // how old the last one was
	garbled  int

	lost, nacks, plis, undecoded int // by the browser's count: packets, and pictures that came whole
}

func (v verdict) String() string {
	return fmt.Sprintf("%d pictures in the worst second, below 10 a second for %v, sub after %v, main after %v, %d freezes, longest gap %v, oldest picture %v, last %v, "+
		"%d garbled, %d packets lost, %d NACKs, %d PLIs, %d not decoded",
		v.fewest, v.slow, v.down, v.up, v.freezes, v.longest, v.oldest, v.last, v.garbled, v.lost, v.nacks, v.plis, v.undecoded)
}

func (s *squeezed) verdict(sub, main int) (v verdict) {
	narrow, wide := s.Begin.Add(squeezeBefore), s.Begin.Add(squeezeBefore+squeezeFor)
	v.fewest, v.slow = s.Film.slow(s.Begin.Add(time.Second), s.Begin.Add(squeezeAll), 10)
	v.down, v.up = -1, -1
	if d, ok := s.reached(narrow, sub); ok {
		v.down = d
	}
	if d, ok := s.reached(wide, main); ok {
		v.up = d
	}
	running := s.Film.between(s.Begin.Add(time.Second), s.Begin.Add(squeezeAll))
	v.freezes, v.longest = running.freezes()
	for _, x := range running.readable() {
		v.oldest, v.last = max(v.oldest, x.age), x.age
	}
	v.garbled = len(s.Film.garbled())
	video := s.Stats.Video
	v.lost, v.nacks, v.plis, v.undecoded = video.Lost, video.NACKs, video.PLIs, video.Received-video.Frames-video.Dropped
	return v
}

// charts draws the run, as one column.
func (s *squeezed) charts(sub int) []chart {
	var link, passed, estimate, age, fps graph
	link = graph{name: "link", colour: "#999", steps: true}
	passed = graph{name: "passed on", colour: "#0b6e4f"}
	estimate = graph{name: "agent's estimate", colour: "#b3541e"}
	age = graph{name: "age of the picture shown", colour: "#0b6e4f"}
	fps = graph{name: "presented", colour: "#0b6e4f"}
	for i, m := range s.Moments {
		link.points = append(link.points, [2]float64{m.Second, m.Link / 1000})
		if m.Estimate > 0 {
			estimate.points = append(estimate.points, [2]float64{m.Second, m.Estimate / 1000})
		}
		sum, n := 0.0, 0
		for _, near := range s.Moments[max(0, i-2):min(len(s.Moments), i+3)] { // over a second: a key frame is a peak
			sum, n = sum+near.Passed, n+1
		}
		passed.points = append(passed.points, [2]float64{m.Second, sum / float64(n) / 1000})
	}
	var shaded [][2]float64
	for i, x := range s.Film {
		at := s.second(x.at)
		if at < 0 || at > squeezeAll.Seconds() {
			continue
		}
		age.points = append(age.points, [2]float64{at, ms(x.age)})
		end := squeezeAll.Seconds()
		if i+1 < len(s.Film) {
			end = min(end, s.second(s.Film[i+1].at))
			age.points = append(age.points, [2]float64{end, ms(x.age) + 1000*(end-at)})
		}
		switch n := len(shaded); {
		case x.width != sub:
		case n > 0 && shaded[n-1][1] >= at-0.001:
			shaded[n-1][1] = end
		default:
			shaded = append(shaded, [2]float64{at, end})
		}
	}
	for at := 0.5; at < squeezeAll.Seconds()-0.5; at += 0.25 {
		from := s.Begin.Add(time.Duration((at - 0.5) * float64(time.Second)))
		fps.points = append(fps.points, [2]float64{at, float64(len(s.Film.between(from, from.Add(time.Second))))})
	}
	oldest := 0.0
	for _, p := range age.points {
		oldest = max(oldest, p[1])
	}
	return []chart{
		{title: "Mbit/s", top: 10, lines: []graph{link, passed, estimate}, shaded: shaded},
		{title: "behind live, ms", top: roundTop(min(oldest, 4000)), lines: []graph{age}, shaded: shaded},
		{title: "pictures a second", top: 40, lines: []graph{fps}, shaded: shaded},
	}
}

// TestSqueeze: the link of a viewer becomes too narrow for the camera's main stream, and wide again; with a smaller stream beside the main one,
// and without. Times are printed, what was seen is checked. KVSAGENT_TEST_OUT=DIR keeps and draws it; KVSAGENT_TEST_GOALS=1, on a machine that does
// nothing else, checks the times too.
func TestSqueeze(t *testing.T) {
	goals := os.Getenv("KVSAGENT_TEST_GOALS") != ""
	cameras := startLive(t, map[string]*reel{"main": clipOf(t, mainClip), "sub": clipOf(t, subClip)})
	service := startKVS(t)
	port := freeUDPPort(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources:
  both: {url: %[1]q, sub: %[2]q}
  alone: {url: %[1]q}
webrtc: {udp_port: %[3]d}
channels:
  squeeze-both: {source: both, create: true}
  squeeze-alone: {source: alone, create: true}
`, cameras.URL("main"), cameras.URL("sub"), port))
	if n := cameras.players("sub"); n != 0 {
		t.Errorf("the sub stream is played by %d while nobody watches", n)
	}
	names := []string{"with a sub stream", "without one"}
	var columns [][]chart
	for i, channel := range []string{"squeeze-both", "squeeze-alone"} {
		s := squeeze(t, cameras, service, agent, channel, port)
		v := s.verdict(subClip.width, mainClip.width)
		t.Logf("%s: %v", names[i], v)
		keep(t, channel+".json", s)
		columns = append(columns, s.charts(subClip.width))
		if v.garbled > 0 {
			t.Errorf("%s: %d of %d pictures are not the camera's: %+v", names[i], v.garbled, len(s.Film), s.Film.garbled())
		}
		if got := s.Stats.Connections; len(got) != 1 || got[0] != "connected" {
			t.Errorf("%s: connections = %v, want the first one still", names[i], got)
		}
		if v.last > time.Second {
			t.Errorf("%s: when the link is wide again the picture is %v old", names[i], v.last)
		}
		if i == 0 && (v.down < 0 || v.up < 0) {
			t.Errorf("%s: want sub on the screen, and main again", names[i])
		}
		if i == 0 && goals && (v.slow > time.Second || v.down > 3*time.Second || v.up > 15*time.Second) {
			t.Errorf("%s: want 10 pictures in each second, sub within 3 s, main within 15 s", names[i])
		}
	}
	if n := cameras.players("sub"); n != 0 {
		t.Errorf("the sub stream is played by %d, long after its viewer has gone", n)
	}
	keep(t, "squeeze.svg", drawCharts(squeezeAll.Seconds(), names, columns, "shaded: the sub stream is on the screen"))
}

// TestVerdict: a film that goes down after 2 s, flickers, and comes up again after 5 s.
func TestVerdict(t *testing.T) {
	s := &squeezed{Begin: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	narrow, wide := squeezeBefore+2*time.Second, squeezeBefore+squeezeFor+5*time.Second
	for at := time.Duration(0); at < squeezeAll; at += clipTick {
		width := mainClip.width
		if at >= narrow && at < wide || at >= wide+clipTick && at < wide+2*clipTick {
			width = subClip.width
		}
		s.Film = append(s.Film, shown{at: s.Begin.Add(at), width: width, right: true, age: 50 * time.Millisecond})
	}
	want := verdict{fewest: clipFPS, down: 2 * time.Second, up: 5*time.Second + 2*clipTick, longest: clipTick, oldest: 50 * time.Millisecond, last: 50 * time.Millisecond}
	if got := s.verdict(subClip.width, mainClip.width); got != want {
		t.Errorf("verdict:\n%v, want\n%v", got, want)
	}
	s.Film = s.Film.between(s.Begin, s.Begin.Add(narrow))
	if got := s.verdict(subClip.width, mainClip.width); got.down >= 0 || got.up >= 0 || got.fewest != 0 || got.slow < 30*time.Second {
		t.Errorf("verdict of a film that ends: %v, want no sub, no main again, and nothing for half a minute", got)
	}
}
