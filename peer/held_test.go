package peer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
)

// held are the candidates of the remote that a connection holds, once it has as many as are due. Pion takes them in
// goroutines of its own.
func held(t *testing.T, pc *webrtc.PeerConnection, due int) []string {
	t.Helper()
	var out []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		out = out[:0]
		for _, s := range pc.GetStats() {
			if c, ok := s.(webrtc.ICECandidateStats); ok && c.Type == webrtc.StatsTypeRemoteCandidate {
				out = append(out, fmt.Sprintf("%s:%d", c.IP, c.Port))
			}
		}
		if len(out) >= due {
			break
		}
	}
	slices.Sort(out)
	return out
}

// openEngine is one whose second filter, that of the addresses that are heard from, lets everything pass.
func openEngine(t testing.TB) *Engine {
	t.Helper()
	network, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEngine(EngineOptions{Net: network})
	if err != nil {
		t.Fatal(err)
	}
	e.settings.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	e.settings.SetRemoteIPFilter(func(net.IP) bool { return true })
	e.settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return e
}

func openConnection(t *testing.T, e *Engine) *webrtc.PeerConnection {
	t.Helper()
	set, err := newCodecSet()
	if err != nil {
		t.Fatal(err)
	}
	in := countingIn(false)
	cert, err := e.certs.Get()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := e.connection(set, cert, nil, webrtc.ICETransportPolicyAll, nil, e.newSockets(nil, func() {}), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	return pc
}

// TestPionHoldsWhatWasAllowed: by each rule, after an offer and after trickled candidates, a real connection holds what
// was allowed and no more.
func TestPionHoldsWhatWasAllowed(t *testing.T) {
	hosts := []string{
		"198.51.100.7", "2001:db8::7", "192.168.1.77", "192.168.2.77", "10.9.8.7", "100.64.0.1", "fd99::1", "127.0.0.1",
		"169.254.169.254",
		"224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "::", "fe80::1%eth0", "::ffff:127.0.0.1",
		"::ffff:0:127.0.0.1", "::ffff:0:10.9.8.7",
		"64:ff9b::169.254.169.254", "2002:7f00:1::1", "127.1", "0x7f000001", "localhost", "x.local",
	}
	allowed := map[sdp.Remotes][]string{
		sdp.Public: {"198.51.100.7", "2001:db8::7"},
		sdp.OnLink: {"192.168.1.77", "198.51.100.7", "2001:db8::7"},
		sdp.All: {
			"10.9.8.7", "100.64.0.1", "192.168.1.77", "192.168.2.77", "198.51.100.7", "2001:db8::7", "::ffff:0:a09:807",
			"fd99::1",
		},
	}
	lines := func(port int) (out []string) {
		for _, h := range hosts {
			out = append(out, fmt.Sprintf("candidate:1 1 udp 2130706431 %s %d typ host", h, port))
		}
		for _, separator := range []string{"\t", "\v", "\u00a0", "\u2028", "\r"} {
			out = append(out, strings.ReplaceAll("candidate:1 1 udp_1_8.8.8.8_80_typ_host 9 10.9.8.7 22 typ host", "_",
				separator))
		}
		return out
	}
	e := openEngine(t)
	for remotes, want := range allowed {
		r := sdp.Rule{Remotes: remotes, Networks: networksOf(t, "192.168.1.20/24")}
		offer := goodSDP
		for _, line := range lines(5000) {
			if !strings.ContainsAny(line, "\t\v\r\u2028") { // for which the offer is refused
				offer += "a=" + line + "\r\n"
			}
		}
		pc := openConnection(t, e)
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
			SDP: forbidding(offer, r)}); err != nil {
			t.Fatal(err)
		}
		due := len(want)
		if got := held(t, pc, due); !slices.Equal(got, ported(want, 5000)) {
			t.Errorf("rule %d, offer: Pion holds %v, want %v", remotes, got, want)
		}
		for _, line := range lines(6000) {
			c, err := sdp.ParseCandidate(line)
			if err != nil || r.Judge(c) != nil {
				continue
			}
			due++
			if err := pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.String()}); err != nil {
				t.Error(err)
			}
		}
		if got := held(t, pc, due); !slices.Equal(got, ported(want, 5000, 6000)) {
			t.Errorf("rule %d, trickled: Pion holds %v, want %v", remotes, got, want)
		}
	}
}

func networksOf(t testing.TB, prefixes ...string) (out []netip.Prefix) {
	t.Helper()
	for _, p := range prefixes {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// ported are addresses with ports behind them.
func ported(hosts []string, ports ...int) (out []string) {
	for _, port := range ports {
		for _, h := range hosts {
			out = append(out, fmt.Sprintf("%s:%d", h, port))
		}
	}
	slices.Sort(out)
	return out
}

// FuzzHeld gives a real connection what we write of any offer and of any candidate after it, and compares what it holds
// with what was allowed.
func FuzzHeld(f *testing.F) {
	f.Add(goodSDP, "candidate:1 1 udp 1 198.51.100.7 9 typ host", uint8(0))
	f.Add(strings.Replace(goodSDP, "a=ice-ufrag", "\ra=candidate:1 1 udp 1 10.9.8.7 22 typ host\r\na=ice-ufrag", 1), "",
		uint8(1))
	f.Add(goodSDP+"a=candidate:1 1 udp 1 198.51.100.7 9 typ host\r\n",
		"candidate:1 1 udp\t1\t8.8.8.8\t80\ttyp\thost 9 10.9.8.7 22 typ host", uint8(2))
	e := openEngine(f)
	networks := networksOf(f, "192.168.1.20/24")
	f.Fuzz(func(t *testing.T, offer, line string, rule uint8) {
		if e.CheckOffer(offer) != nil {
			return
		}
		r := sdp.Rule{Remotes: sdp.Remotes(rule % 3), Loopback: rule&4 != 0, Names: rule&8 != 0, Networks: networks}
		d, err := read(offer)
		if err != nil {
			t.Fatal(err)
		}
		pc := openConnection(t, e)
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
			SDP: forbidding(offer, r)}) != nil {
			return
		}
		allowed := map[string]bool{}
		for _, s := range d.Judged(r).Sections {
			for _, c := range s.Candidates {
				allowed[fmt.Sprintf("%s:%d", c.Address, c.Port)] = true
			}
		}
		due := 0
		if c, err := sdp.ParseCandidate(line); err == nil && r.Judge(c) == nil && c.Name == "" && c.Ufrag == "" {
			allowed[fmt.Sprintf("%s:%d", c.Address, c.Port)] = true
			due = 1
			if err := pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.String()}); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
		}
		for _, got := range held(t, pc, due) {
			if !allowed[got] {
				t.Fatalf("Pion holds %s, allowed were %v", got, allowed)
			}
		}
	})
}

// forbidding is withoutForbidden, without the count.
func forbidding(text string, r sdp.Rule) string {
	clean, _ := withoutForbidden(text, r)
	return clean
}
