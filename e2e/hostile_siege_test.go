package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/localkvs"
)

// siege is an agent with honest viewers, and what hostile ones need to know of it.
type siege struct {
	service *localkvs.Server
	arn     string
	agent   *rig.Agent
	to      *net.UDPAddr // the agent's media socket
	honest  []*rig.Caller
	tallies []*rig.Tally
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	const none = -1
	s := &siege{service: rig.StartServiceWith(t,
		localkvs.Options{Listen: rig.Home + ":0", TURNListen: rig.Home + ":0", Limits: localkvs.Limits{
			Viewers: none, ConnectRate: none, SDPRate: none, CandidateRate: none, ChannelCalls: none,
			AccountCalls: none,
		}})}
	s.agent = rig.StartAgent(t, rig.Environment(rig.Keys...), s.service.URL(), "", `
sources: {pattern: {url: "testpattern:?size=320x240&rate=25&gop=1s"}}
channels: {gate: {source: pattern, create: true, max_viewers: 40}}
limits: {setup_timeout: 5s}
`)
	s.arn = s.agent.Connected(t, "gate")
	for i := range honestViewers {
		y := &rig.Tally{}
		c := rig.NewCaller(t, s.service, s.arn, fmt.Sprintf("honest-%d", i),
			rig.CallerOptions{OnTrack: y.Watch, Channel: true})
		c.Connect(t)
		s.honest, s.tallies = append(s.honest, c), append(s.tallies, y)
	}
	port := regexp.MustCompile(`a=candidate:\S+ 1 udp \d+ ` + regexp.QuoteMeta(rig.Home) +
		` (\d+) typ host`).FindStringSubmatch(s.honest[0].Answer)
	if port == nil {
		t.Fatalf("no host candidate in %s", s.honest[0].Answer)
	}
	n, _ := strconv.Atoi(port[1])
	s.to = &net.UDPAddr{IP: net.ParseIP(rig.Home), Port: n}
	rig.Eventually(t, 20*time.Second, "all honest viewers have 50 pictures", func() (bool, any) {
		for _, y := range s.tallies {
			if frames, _, _ := y.Lost(0, 3600); frames < 50 {
				return false, fmt.Sprint(s.tallies)
			}
		}
		return true, nil
	})
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.pid()), []byte("5"), 0); err != nil {
		t.Fatalf("set the peak of the agent's memory back: %v", err)
	}
	return s
}

func (s *siege) pid() int { return s.agent.Cmd.Process.Pid }

// memory is the agent's peak since newSiege, in KiB.
func (s *siege) memory(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// busy is how much processor time the agent has taken.
func (s *siege) busy(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name may have spaces in it
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

func (s *siege) files(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// checkHonest compares what came with what the source made.
func (s *siege) checkHonest(t *testing.T) {
	t.Helper()
	var frames, packets, skipped int
	var high []uint64
	for _, y := range s.tallies {
		high = append(high, y.Highest())
	}
	time.Sleep(time.Second) // for what is asked for once more
	for i, y := range s.tallies {
		f, p, k := y.Lost(high[i], 3600)
		frames, packets, skipped = frames+f, packets+p, skipped+k
		if s.honest[i].PC.ConnectionState() != webrtc.PeerConnectionStateConnected {
			t.Errorf("%s is %v", s.honest[i].Id, s.honest[i].PC.ConnectionState())
		}
	}
	t.Logf("%d honest viewers: %d pictures came, %d packets lost, %d pictures not sent", len(s.honest), frames, packets,
		skipped)
	if lost := float64(packets+skipped) / float64(frames); lost > siegeLoss || frames < 10*len(s.honest) {
		t.Errorf("%d of %d pictures lost, want %.1f %% at most", packets+skipped, frames, 100*siegeLoss)
	}
}

// checkLog counts lines by what they say, which is by place in the code. Each place may write ten a minute from
// warnings on.
func (s *siege) checkLog(t *testing.T, lasted time.Duration) {
	t.Helper()
	sites := map[string]int{"candidate ignored": 2} // places that say the same
	counts := map[string]int{}
	for line := range strings.Lines(s.agent.Stderr.String()) {
		if m := regexp.MustCompile(`level=(WARN|ERROR|INFO) msg="?([^"=]*?)"? \w+=`).FindStringSubmatch(line); m != nil {
			counts[m[1]+" "+m[2]]++
		}
	}
	minutes := int(lasted/time.Minute) + 1
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		level, message, _ := strings.Cut(what, " ")
		most := 10 * minutes * max(1, sites[message])
		if level == "INFO" {
			most *= 6
		}
		t.Logf("log: %4d times %s", counts[what], what)
		if counts[what] > most {
			t.Errorf("%d lines %q in %v, want %d at most", counts[what], what, lasted, most)
		}
	}
}

// victim is the port at which nobody must hear from us.
const victim = 4000

// honestVictim is a public address that a viewer may well have.
const honestVictim = "198.51.100.7"

// countForbidden counts packets to that port, by where they go.
func countForbidden(t *testing.T) func() map[string]int {
	t.Helper()
	rules := `table inet siege {
	counter honest {}
	counter forbidden {}
	chain out { type filter hook output priority 0;
		ip daddr ` + honestVictim + ` udp dport 4000 counter name honest
		ip daddr != ` + honestVictim + ` udp dport 4000 counter name forbidden
		meta nfproto ipv6 udp dport 4000 counter name forbidden
	}
}
`
	if _, stderr, code := rig.Run(t, 10*time.Second, rig.Environment("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "nft", "-f",
		rig.WriteFile(t, "siege.nft", rules)); code != 0 {
		t.Fatalf("nft: %s", stderr)
	}
	return func() map[string]int {
		t.Helper()
		out, err := exec.Command("nft", "list", "counters").Output()
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, m := range regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`).FindAllSubmatch(out, -1) {
			counts[string(m[1])], _ = strconv.Atoi(string(m[2]))
		}
		return counts
	}
}

// lure is a TCP service on this host that nobody may be sent to.
func (s *siege) lure(t *testing.T) (net.Listener, func() int) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", rig.Home, victim))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	calls := 0
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
			mu.Lock()
			calls++
			mu.Unlock()
		}
	}()
	return l, func() int {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func (s *siege) checkReach(t *testing.T, packets map[string]int, calls int) {
	t.Helper()
	t.Logf("packets to a port of the viewer's choice: %d to a public address, %d to forbidden ones; %d TCP connections",
		packets["honest"], packets["forbidden"], calls)
	if packets["forbidden"] != 0 || calls != 0 || packets["honest"] == 0 {
		t.Errorf("%v packets and %d connections, want packets to the honest address alone", packets, calls)
	}
}

// join connects a hostile viewer.
func (s *siege) join(t *testing.T, id string, o rig.CallerOptions) *rig.Caller {
	t.Helper()
	o.Bare = true
	c := rig.NewCaller(t, s.service, s.arn, id, o)
	c.Connect(t)
	return c
}

// post sends a message as it is, and does not mind when the service takes it not.
func (s *siege) post(t *testing.T, r *rig.Raw, action string, payload any) {
	t.Helper()
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	r.Message(action, string(b))
}

func (s *siege) candidate(t *testing.T, r *rig.Raw, line string) {
	s.post(t, r, "ICE_CANDIDATE", map[string]any{"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
}
