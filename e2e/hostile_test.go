package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
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

	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// What the agent may cost under attack, and what its other viewers may lose.
const (
	honestViewers = 10
	siegeMemory   = 64 << 10 // KiB
	siegeCores    = 0.5      // on average, with the ten viewers
	siegeLoss     = 0.001    // of all pictures
)

// siege is an agent with honest viewers, and what hostile ones need to know of it.
type siege struct {
	service *localkvs.Server
	arn     string
	agent   *agent
	to      *net.UDPAddr // the agent's media socket
	honest  []*caller
	tallies []*tally
}

// TestHostileViewers: whatever viewers do at once or one after the other, the agent's memory stays bounded and those who just watch notice nothing.
func TestHostileViewers(t *testing.T) {
	if !inside(t, 4*time.Minute) {
		return
	}
	s := newSiege(t)
	listener, calls := s.lure(t)
	defer listener.Close()
	forbidden := countForbidden(t)
	before, busy := s.memory(t), s.busy(t)
	began := time.Now()
	t.Logf("before: %d KiB, %d sockets and files", before, s.files(t))
	for _, attack := range []struct {
		name string
		run  func(*testing.T, *siege)
		want string // in the reason why the session of a client with the attack's name ended; "" is none
	}{
		{"ssrcs", ssrcFlood, "more than 8 streams"},
		{"media", unaskedMedia, "media that nobody asked for"},
		{"plis", pliFlood, "asked for key frames more than 500 times"},
		{"nacks", nackFlood, "more than 4000 rtcp packets"},
		{"greedy", greedyNACKs, ""},
		{"garbage", rtcpGarbage, ""},
		{"channels", channelFlood, "more than 4 data channels"},
		{"messages", messageFlood, "messages or"},
		{"deaf", deafViewer, ""},
		{"aims", aimedCandidates, ""},
		{"candidates", candidateFlood, ""},
		{"texts", oddTexts, ""},
		{"restarts", restartFlood, ""},
		{"offers", offerFlood, ""},
		{"junk", offPathJunk, ""},
	} {
		started, busy := time.Now(), s.busy(t)
		attack.run(t, s)
		if attack.want != "" {
			eventually(t, 15*time.Second, "the agent ends the session of "+attack.name, func() (bool, any) {
				lines := s.agent.stderr.lines(`msg="peer gone"`, "client="+attack.name)
				return len(lines) > 0 && strings.Contains(lines[0], attack.want), lines
			})
		}
		if s.agent.over() {
			t.Fatalf("%s: the agent ended: %v", attack.name, s.agent.cmd.ProcessState)
		}
		t.Logf("%-10s %4.1f s, %.2f s of processor time, memory at most %+d KiB",
			attack.name, time.Since(started).Seconds(), (s.busy(t) - busy).Seconds(), s.memory(t)-before)
	}
	if grown := s.memory(t) - before; grown > siegeMemory {
		t.Errorf("the agent's memory grew by %d KiB, want %d at most", grown, siegeMemory)
	}
	if cores := (s.busy(t) - busy).Seconds() / time.Since(began).Seconds(); cores > siegeCores {
		t.Errorf("the agent kept %.2f cores busy, want %.2f at most", cores, siegeCores)
	} else {
		t.Logf("in all: %.2f cores", cores)
	}
	s.checkHonest(t)
	s.checkLog(t, time.Since(began))
	s.checkReach(t, forbidden(), calls())
	t.Logf("after %v: %d sockets and files", time.Since(began).Round(time.Second), s.files(t))
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	const none = -1
	s := &siege{service: startServiceWith(t, localkvs.Options{Listen: home + ":0", TURNListen: home + ":0", Limits: localkvs.Limits{
		Viewers: none, ConnectRate: none, SDPRate: none, CandidateRate: none, ChannelCalls: none, AccountCalls: none,
	}})}
	s.agent = startAgent(t, environment(keys...), s.service.URL(), "", `
sources: {pattern: {url: "testpattern:?size=320x240&rate=25&gop=1s"}}
channels: {gate: {source: pattern, create: true, max_viewers: 40}}
limits: {setup_timeout: 5s}
`)
	s.arn = s.agent.connected(t, "gate")
	for i := range honestViewers {
		y := &tally{}
		c := newCaller(t, s.service, s.arn, fmt.Sprintf("honest-%d", i), callerOptions{onTrack: y.watch, channel: true})
		c.connect(t)
		s.honest, s.tallies = append(s.honest, c), append(s.tallies, y)
	}
	port := regexp.MustCompile(`a=candidate:\S+ 1 udp \d+ ` + regexp.QuoteMeta(home) + ` (\d+) typ host`).FindStringSubmatch(s.honest[0].answer)
	if port == nil {
		t.Fatalf("no host candidate in %s", s.honest[0].answer)
	}
	n, _ := strconv.Atoi(port[1])
	s.to = &net.UDPAddr{IP: net.ParseIP(home), Port: n}
	eventually(t, 20*time.Second, "all honest viewers have 50 pictures", func() (bool, any) {
		for _, y := range s.tallies {
			if frames, _, _ := y.lost(0, 3600); frames < 50 {
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

func (s *siege) pid() int { return s.agent.cmd.Process.Pid }

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
		high = append(high, y.highest())
	}
	time.Sleep(time.Second) // for what is asked for once more
	for i, y := range s.tallies {
		f, p, k := y.lost(high[i], 3600)
		frames, packets, skipped = frames+f, packets+p, skipped+k
		if s.honest[i].pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
			t.Errorf("%s is %v", s.honest[i].id, s.honest[i].pc.ConnectionState())
		}
	}
	t.Logf("%d honest viewers: %d pictures came, %d packets lost, %d pictures not sent", len(s.honest), frames, packets, skipped)
	if lost := float64(packets+skipped) / float64(frames); lost > siegeLoss || frames < 10*len(s.honest) {
		t.Errorf("%d of %d pictures lost, want %.1f %% at most", packets+skipped, frames, 100*siegeLoss)
	}
}

// checkLog counts lines by what they say, which is by place in the code. Each place may write ten a minute from warnings on.
func (s *siege) checkLog(t *testing.T, lasted time.Duration) {
	t.Helper()
	sites := map[string]int{"candidate ignored": 2} // places that say the same
	counts := map[string]int{}
	for line := range strings.Lines(s.agent.stderr.String()) {
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
	if _, stderr, code := run(t, 10*time.Second, environment("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "nft", "-f", writeFile(t, "siege.nft", rules)); code != 0 {
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
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", home, victim))
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
	t.Logf("packets to a port of the viewer's choice: %d to a public address, %d to forbidden ones; %d TCP connections", packets["honest"], packets["forbidden"], calls)
	if packets["forbidden"] != 0 || calls != 0 || packets["honest"] == 0 {
		t.Errorf("%v packets and %d connections, want packets to the honest address alone", packets, calls)
	}
}

// join connects a hostile viewer.
func (s *siege) join(t *testing.T, id string, o callerOptions) *caller {
	t.Helper()
	o.bare = true
	c := newCaller(t, s.service, s.arn, id, o)
	c.connect(t)
	return c
}

func (c *caller) ssrc() uint32 { return uint32(c.pc.GetReceivers()[0].Track().SSRC()) }

func ssrcFlood(t *testing.T, s *siege) {
	c := s.join(t, "ssrcs", callerOptions{})
	for i := range uint32(100_000) {
		c.writer.write(1000+i, 1, 10)
	}
}

func unaskedMedia(t *testing.T, s *siege) {
	c := s.join(t, "media", callerOptions{})
	for i := range 5000 {
		c.writer.write(1000, uint16(i), 1000)
	}
}

func pliFlood(t *testing.T, s *siege) {
	c := s.join(t, "plis", callerOptions{})
	for range 100_000 {
		if c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: c.ssrc()}}) != nil {
			return
		}
	}
}

// everything asks for all that may be in the agent's history.
func everything(ssrc uint32) []rtcp.Packet {
	n := &rtcp.TransportLayerNack{MediaSSRC: ssrc}
	for i := range 250 {
		n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: uint16(17 * i), LostPackets: 0xffff})
	}
	return []rtcp.Packet{n}
}

func nackFlood(t *testing.T, s *siege) {
	c := s.join(t, "nacks", callerOptions{})
	for range 20_000 {
		if c.pc.WriteRTCP(everything(c.ssrc())) != nil {
			return
		}
	}
}

// greedyNACKs asks again for all that comes, no faster than one may, and gets little more than who asks for nothing.
func greedyNACKs(t *testing.T, s *siege) {
	var high sync.Map
	c := s.join(t, "greedy", callerOptions{onTrack: func(track *webrtc.TrackRemote) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if track.Kind() == webrtc.RTPCodecTypeVideo {
				high.Store("seq", p.SequenceNumber)
			}
		}
	}})
	time.Sleep(time.Second) // the window that a newcomer gets
	mine, theirs := c.received(), s.honest[0].received()
	for range 320 {
		newest, ok := high.Load("seq")
		if !ok {
			t.Fatal("nothing came")
		}
		n := &rtcp.TransportLayerNack{MediaSSRC: c.ssrc()}
		for back := range uint16(20) {
			n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: newest.(uint16) - 17*back, LostPackets: 0xffff})
		}
		_ = c.pc.WriteRTCP([]rtcp.Packet{n})
		time.Sleep(12500 * time.Microsecond)
	}
	mine, theirs = c.received()-mine, s.honest[0].received()-theirs
	t.Logf("who asks for everything again got %d bytes, another one %d", mine, theirs)
	if mine > theirs*5/4+64<<10 {
		t.Errorf("%d bytes for one who asks for everything again, %d for another: want a quarter more, and a little at once", mine, theirs)
	}
}

func rtcpGarbage(t *testing.T, s *siege) {
	c := s.join(t, "garbage", callerOptions{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 240 {
		b := make([]byte, 4*(2+r.IntN(100)))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0], b[1] = 0x80|b[0]&0x1f, byte(200+r.IntN(8)) // or it would not be taken for RTCP
		b[2], b[3] = 0, byte(len(b)/4-1)
		copy(b[4:], []byte{byte(c.ssrc() >> 24), byte(c.ssrc() >> 16), byte(c.ssrc() >> 8), byte(c.ssrc())})
		raw := rtcp.RawPacket(b)
		_ = c.pc.WriteRTCP([]rtcp.Packet{&raw})
		time.Sleep(10 * time.Millisecond)
	}
}

func channelFlood(t *testing.T, s *siege) {
	c := s.join(t, "channels", callerOptions{channel: true})
	for i := range 20_000 {
		if _, err := c.pc.CreateDataChannel(fmt.Sprint(i), nil); err != nil {
			return
		}
	}
}

func messageFlood(t *testing.T, s *siege) {
	c := s.join(t, "messages", callerOptions{channel: true})
	d, err := c.pc.CreateDataChannel("more", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	d.OnOpen(func() { close(open) })
	select {
	case <-open:
	case <-time.After(10 * time.Second):
		t.Fatal("no data channel")
	}
	for range 100_000 {
		if d.Send(make([]byte, 1000)) != nil {
			return
		}
	}
}

// deaf is a socket that stops being read.
type deaf struct {
	net.PacketConn
	from chan struct{}
}

func (d deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := d.PacketConn.ReadFrom(p)
	select {
	case <-d.from:
		select {} // until the process ends
	default:
		return n, a, err
	}
}

// deafViewer connects and reads no more, until the siege is over.
func deafViewer(t *testing.T, s *siege) {
	for i := range 4 {
		conn, err := net.ListenPacket("udp4", home+":0")
		if err != nil {
			t.Fatal(err)
		}
		d := deaf{conn, make(chan struct{})}
		var o callerOptions
		o.settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, d))
		s.join(t, fmt.Sprintf("deaf-%d", i), o)
		close(d.from)
	}
}

// post sends a message as it is, and does not mind when the service takes it not.
func (s *siege) post(t *testing.T, r *raw, action string, payload any) {
	t.Helper()
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	r.message(action, string(b))
}

func (s *siege) candidate(t *testing.T, r *raw, line string) {
	s.post(t, r, "ICE_CANDIDATE", map[string]any{"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
}

// aimedCandidates names hosts that the agent must not send to, in the offer and after it, over UDP and TCP.
func aimedCandidates(t *testing.T, s *siege) {
	c := newCaller(t, s.service, s.arn, "aims", callerOptions{bare: true})
	hosts := []string{
		honestVictim, "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.0.0.5", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.9", "224.0.0.251", "240.0.0.1",
		"255.255.255.255", "::1", "::", "fe80::1", "ff02::fb", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
		"fe80::1%eth0", "::ffff:7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "::127.0.0.1", "fec0::1", "100::1", "2001:0:a9fe::1", "0177.0.0.1", "2130706433",
		"localhost", "metadata.google.internal", "x.local",
	}
	line := func(i int, host, rest string) string {
		return fmt.Sprintf("candidate:%d 1 %s %s %d typ host%s", i, "udp 2130706431", host, victim, rest)
	}
	var inside []string
	for i, host := range hosts {
		inside = append(inside, "a="+line(i+1, host, ""))
	}
	sdp := regexp.MustCompile(`a=candidate:.*\r\n`).ReplaceAllString(c.offer(t), "")
	sdp = strings.Replace(sdp, "a=ice-ufrag:", strings.Join(inside[:15], "\r\n")+"\r\na=ice-ufrag:", 1)
	s.post(t, c.raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
	for i, host := range hosts {
		s.candidate(t, c.raw, line(100+i, host, ""))
	}
	for i, kind := range []string{"passive", "active", "so"} {
		s.candidate(t, c.raw, fmt.Sprintf("candidate:%d 1 tcp 2130706431 %s %d typ host tcptype %s", 200+i, home, victim, kind))
	}
	time.Sleep(3 * time.Second) // of checks
}

// candidateFlood sends more candidates than anybody has, for one session and for clients that have none.
func candidateFlood(t *testing.T, s *siege) {
	c := newCaller(t, s.service, s.arn, "candidates", callerOptions{bare: true})
	s.post(t, c.raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": c.offer(t)})
	for i := range 5000 {
		s.candidate(t, c.raw, fmt.Sprintf("candidate:%d 1 udp %d 198.51.100.%d %d typ host", i, 2130706431-i, 1+i%250, 1024+i))
	}
	for i := range 100 {
		r := dialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("early-%d", i))
		for j := range 100 {
			s.candidate(t, r, fmt.Sprintf("candidate:%d 1 udp 1 198.51.100.1 %d typ host %s", j, 1024+j, strings.Repeat("x", 900)))
		}
		r.conn.Close()
	}
}

// oddTexts are offers that the service carries and no client makes.
func oddTexts(t *testing.T, s *siege) {
	c := newCaller(t, s.service, s.arn, "texts", callerOptions{bare: true})
	offer := c.offer(t)
	many := func(line string, n int) string { return offer + strings.Repeat(line+"\r\n", n) }
	for i, sdp := range []string{
		many("m=video 9 X 96", 250), many("a=candidate:1 1 udp 1 198.51.100.1 9 typ host", 90), many("a=x", 1000), offer + "a=" + strings.Repeat("x", 4000) + "\r\n",
		regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(offer, "a=ice-ufrag:"+strings.Repeat("u", 1000)),
		regexp.MustCompile(`a=ice-pwd:\S+`).ReplaceAllString(offer, "a=ice-pwd:"+strings.Repeat("p", 21)),
		strings.ReplaceAll(offer, "a=fingerprint", "a=print"), "v=0", "", "v=0\r\n\x00\x1b[31m", strings.ReplaceAll(offer, "m=", "n="),
		strings.ReplaceAll(offer, "H264", "H265"), strings.ReplaceAll(offer, "a=mid:", "a=mid:-1"), strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:holdconn"),
	} {
		s.post(t, dialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("text-%d", i)), "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
		time.Sleep(100 * time.Millisecond)
	}
	// No service carries this; a server in the way may.
	long, err := json.Marshal(map[string]string{"type": "offer", "sdp": many("a=x", 20_000)})
	if err != nil {
		t.Fatal(err)
	}
	c.raw.message("SDP_OFFER", string(long))
}

// restartFlood is one client that restarts ICE with each breath, and answers what nobody has offered.
func restartFlood(t *testing.T, s *siege) {
	c := s.join(t, "restarts", callerOptions{channel: true})
	for i := range 200 {
		sdp := regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(c.offer(t), fmt.Sprintf("a=ice-ufrag:restart%04d", i))
		s.post(t, c.raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
		s.post(t, c.raw, "SDP_ANSWER", map[string]string{"type": "answer", "sdp": sdp})
		time.Sleep(10 * time.Millisecond)
	}
}

// offerFlood is forty clients with good offers that will never connect, again and again.
func offerFlood(t *testing.T, s *siege) {
	c := newCaller(t, s.service, s.arn, "offers", callerOptions{bare: true, channel: true}) // over which the refused are told
	offer := regexp.MustCompile(`a=candidate:.*\r\n`).ReplaceAllString(c.offer(t), "")
	offer = strings.Replace(offer, "t=0 0\r\n", "t=0 0\r\na=ice-options:trickle\r\n", 1)
	var clients []*raw
	for i := range 40 {
		clients = append(clients, dialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("offers-%d", i)))
	}
	most := 0
	for round := range 20 {
		for i, r := range clients {
			sdp := regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(offer, fmt.Sprintf("a=ice-ufrag:%04d%04d", round, i))
			s.post(t, r, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
		}
		most = max(most, len(s.agent.channel(t, "gate").Peers))
		time.Sleep(150 * time.Millisecond)
	}
	pending := 0
	for _, p := range s.agent.channel(t, "gate").Peers {
		if p.FirstFrame.Connected == 0 {
			pending++
		}
	}
	t.Logf("800 offers of 40 clients: at most %d sessions, %d of them connecting", most, pending)
	if pending > 4 {
		t.Errorf("%d sessions are connecting, want limits.max_pending at most", pending)
	}
}

// offPathJunk is what the internet sends to an open port, thirty thousand packets a second of it.
func offPathJunk(t *testing.T, s *siege) {
	conn, err := net.DialUDP("udp4", nil, s.to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wrong, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("abcd:efgh"), stun.NewShortTermIntegrity("wrong"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	hello := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, 1, 0, 0, 68}, make([]byte, 80)...)
	media := append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 18, 103}, make([]byte, 500)...)
	noise := make([]byte, 300)
	r := rand.New(rand.NewPCG(3, 4))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		<-tick.C
		for i := range 300 {
			b := [][]byte{wrong.Raw, hello, media, noise}[i%4]
			if i%4 == 3 {
				noise[0], noise[1], noise[2] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
			}
			_, _ = conn.Write(b)
		}
	}
}
