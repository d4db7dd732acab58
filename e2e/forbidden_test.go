package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/peer"
)

// forms are hosts that a viewer may name, and the rules under which we send there: p(ublic), o(n link) and a(ll). The
// first are what a viewer may well have; without them the test would pass when nothing is sent at all.
var forms = []struct{ host, open string }{
	{"198.51.100.7", "poa"}, {"2001:db8:77::7", "poa"}, {"::ffff:198.51.100.8", "poa"},
	{"64:ff9b::198.51.100.7", "poa"},
	{"10.9.0.77", "oa"},
	{"10.77.0.7", "a"}, {"172.16.5.5", "a"}, {"192.168.5.5", "a"}, {"100.64.0.7", "a"}, {"198.18.0.7", "a"},
	{"fd99::7", "a"},
	{"::ffff:10.77.0.7", "a"}, {"::ffff:0:10.77.0.7", "a"}, {"::10.77.0.7", "a"}, {"64:ff9b::10.77.0.7", "a"},
	{"2002:a4d:7::1", "a"},
	{"2001:db8:77::5efe:10.77.0.7", "a"}, {"2001:db8:77::200:5efe:10.77.0.7", "a"},
	{rig.Home, ""}, {"10.9.0.255", ""}, {"10.9.0.0", ""}, {"127.0.0.1", ""}, {"127.9.9.9", ""}, {"0.0.0.0", ""},
	{"0.0.0.5", ""},
	{"169.254.169.254", ""}, {"100.100.100.200", ""}, {"168.63.129.16", ""}, {"192.0.0.9", ""}, {"224.0.0.251", ""},
	{"239.1.2.3", ""},
	{"240.0.0.1", ""}, {"255.255.255.255", ""}, {"::1", ""}, {"::", ""}, {"fe80::1", ""}, {"fe80::1%eth0", ""},
	{"ff02::fb", ""}, {"fec0::1", ""},
	{"100::1", ""}, {"2001:0:a9fe::1", ""}, {"64:ff9b:1::1", ""}, {"fd00:ec2::254", ""}, {"fd20:ce::254", ""},
	{"::ffff:127.0.0.1", ""}, {"::ffff:169.254.169.254", ""}, {"::ffff:0:127.0.0.1", ""},
	{"::ffff:0:169.254.169.254", ""}, {"::127.0.0.1", ""},
	{"64:ff9b::127.0.0.1", ""}, {"64:ff9b::169.254.169.254", ""}, {"2002:7f00:1::", ""}, {"2002:a9fe:a9fe::1", ""},
	{"2001:db8:77::5efe:169.254.169.254", ""}, {"0177.0.0.1", ""}, {"127.1", ""}, {"0x7f000001", ""},
	{"2130706433", ""}, {"localhost", ""},
	{"x.local", ""}, {"metadata.google.internal", ""},
}

// hiding are ways to put a candidate, or an address, where only one of two readers sees it. Each takes a host and a
// port.
var hiding = map[string]func(sdp, host string, port int) string{
	"a carriage return before": func(sdp, host string, port int) string {
		return strings.Replace(sdp, "a=ice-ufrag",
			"\ra=candidate:1 1 udp 9 "+host+" "+strconv.Itoa(port)+" typ host\r\na=ice-ufrag", 1)
	},
	"a carriage return before, and bare line feeds": func(sdp, host string, port int) string {
		sdp = strings.Replace(sdp, "a=ice-ufrag",
			"\ra=candidate:1 1 udp 9 "+host+" "+strconv.Itoa(port)+" typ host\r\na=ice-ufrag", 1)
		return strings.ReplaceAll(sdp, "\r\n", "\n")
	},
	"a carriage return inside": func(sdp, host string, port int) string {
		return strings.Replace(sdp, "a=mid",
			"a=x:y\ra=candidate:1 1 udp 9 "+host+" "+strconv.Itoa(port)+" typ host\r\na=mid", 1)
	},
	"a carriage return in the session": func(sdp, host string, port int) string {
		return strings.Replace(sdp, "s=-", "s=-\ra=candidate:1 1 udp 9 "+host+" "+strconv.Itoa(port)+" typ host", 1)
	},
	"in the session": func(sdp, host string, port int) string {
		return strings.Replace(sdp, "t=0 0", "t=0 0\r\na=candidate:1 1 udp 9 "+host+" "+strconv.Itoa(port)+" typ host",
			1)
	},
	"connection and port": func(sdp, host string, port int) string {
		return strings.NewReplacer("IP4 0.0.0.0", "IP4 "+host, "video 9", "video "+strconv.Itoa(port)).Replace(sdp)
	},
	"related address": func(sdp, host string, port int) string {
		return sdp + "a=candidate:1 1 udp 9 198.51.100.7 9 typ srflx raddr " + host + " rport " +
			strconv.Itoa(port) + "\r\n"
	},
	"rtcp and remote candidates": func(sdp, host string, port int) string {
		return sdp + fmt.Sprintf("a=rtcp:%d IN IP4 %s\r\na=remote-candidates:1 %s %d\r\n", port, host, host, port)
	},
	"component 2": func(sdp, host string, port int) string {
		return sdp + fmt.Sprintf("a=candidate:1 2 udp 9 %s %d typ host\r\n", host, port)
	},
	"tcp": func(sdp, host string, port int) string {
		return sdp + fmt.Sprintf("a=candidate:1 1 tcp 9 %s %d typ host tcptype passive\r\n", host, port)
	},
	"a second ufrag": func(sdp, host string, port int) string {
		return sdp + fmt.Sprintf("a=ice-ufrag:GET / %s\r\na=candidate:1 1 udp 9 %s %d typ host\r\n", host, host, port)
	},
}

func init() {
	for _, separator := range []string{"\t", "\v", "\f", "\r", "\u0085", "\u00a0", "\u2028", "\u3000"} {
		hiding[fmt.Sprintf("fields apart by %+q", separator)] = func(sdp, host string, port int) string {
			fields := strings.ReplaceAll("udp 1 8.8.8.8 80 typ host", " ", separator)
			return sdp + fmt.Sprintf("a=candidate:1 1 %s 9 %s %d typ host\r\n", fields, host, port)
		}
	}
}

const plainOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n" +
	"a=fingerprint:sha-256 " +
	"01:08:0F:16:1D:24:2B:32:39:40:47:4E:55:5C:63:6A:71:78:7F:86:8D:94:9B:A2:A9:B0:B7:BE:C5:CC:D3:DA\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"

// TestForbiddenAddressesHearNothing counts what leaves for each host that a viewer names, in a namespace whose routes
// lead everywhere: by each rule, in the offer, after it, and where a careless reader would not look.
func TestForbiddenAddressesHearNothing(t *testing.T) {
	if !rig.Inside(t, 2*time.Minute) {
		return
	}
	for _, command := range []string{
		"addr add 2001:db8:9::1/64 dev eth0 nodad",
		"neigh add 2001:db8:9::fe lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
		"-6 route add default via 2001:db8:9::fe",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s", command, out)
		}
	}
	w := &wire{next: 20_000}
	var wg sync.WaitGroup
	for letter, remotes := range map[string]peer.Remotes{"p": peer.Public, "o": peer.OnLink, "a": peer.All} {
		e, err := peer.NewEngine(peer.EngineOptions{Remotes: remotes})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		const each = 20 // a description has 32 candidates at most
		for i := 0; i < len(forms); i += each {
			offer, later := plainOffer, []string(nil)
			for _, form := range forms[i:min(i+each, len(forms))] {
				open := strings.Contains(form.open, letter)
				line := func(where string) string {
					port := w.port(letter+": "+form.host+" "+where, open)
					return fmt.Sprintf("candidate:1 1 udp 2130706431 %s %d typ host", form.host, port)
				}
				offer += "a=" + line("in the offer") + "\r\n"
				later = append(later, line("after it"))
			}
			w.viewers = append(w.viewers, viewer{e, offer, later})
		}
		for name, hide := range hiding {
			if letter == "a" { // where the host may be sent to if it is seen
				continue
			}
			for _, host := range []string{"10.77.0.7", "127.0.0.1"} {
				w.viewers = append(w.viewers,
					viewer{e, hide(plainOffer, host, w.port(letter+": "+host+" "+name, false)), nil})
			}
		}
	}
	w.watch(t)
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	for _, v := range w.viewers {
		c, err := peer.New(peer.Config{Engine: v.engine, Receive: true, Send: func(peer.Signal) {}})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = c.Run(ctx) })
		c.Handle(peer.Offer{SDP: v.offer})
		for _, line := range v.later {
			c.Handle(peer.Candidate{Candidate: line})
		}
	}
	wg.Wait()
	w.check(t)
}

type viewer struct {
	engine *peer.Engine
	offer  string
	later  []string // candidates
}

// wire counts what leaves for the ports of its rows.
type wire struct {
	next    int
	rows    []wireRow
	viewers []viewer
}

type wireRow struct {
	name string
	port int
	open bool // packets are due
}

// port is one that nothing else is sent to.
func (w *wire) port(name string, open bool) int {
	w.next++
	w.rows = append(w.rows, wireRow{name, w.next, open})
	return w.next
}

func (w *wire) watch(t *testing.T) {
	t.Helper()
	var counters, rules strings.Builder
	for _, r := range w.rows {
		fmt.Fprintf(&counters, "\tcounter p%d {}\n", r.port)
		fmt.Fprintf(&rules, "\t\tmeta l4proto { tcp, udp } th dport %d counter name p%d\n", r.port, r.port)
	}
	text := "table inet forbidden {\n" + counters.String() + "\tchain out { type filter hook output priority 0;\n" +
		rules.String() + "\t}\n}\n"
	if out, err := exec.Command("nft", "-f", rig.WriteFile(t, "forbidden.nft", text)).CombinedOutput(); err != nil {
		t.Fatalf("nft: %s", out)
	}
}

func (w *wire) check(t *testing.T) {
	t.Helper()
	out, err := exec.Command("nft", "list", "counters").Output()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]int{}
	for _, m := range regexp.MustCompile(`counter p(\d+) \{\s*packets (\d+)`).FindAllSubmatch(out, -1) {
		port, _ := strconv.Atoi(string(m[1]))
		counts[port], _ = strconv.Atoi(string(m[2]))
	}
	open, shut := 0, 0
	for _, r := range w.rows {
		n := counts[r.port]
		if (n > 0) != r.open {
			t.Errorf("%s: %d packets, due: %v", r.name, n, r.open)
		}
		if r.open {
			open += n
		} else {
			shut += n
		}
	}
	t.Logf("%d rows; %d packets to hosts that may be named, %d to others", len(w.rows), open, shut)
}
