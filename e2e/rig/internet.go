package rig

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The internet of these tests is made of network namespaces:
//
//	camera --- its router ---+             +--- its router --- viewer
//	10.1.0.2   203.0.113.11  |             |    203.0.113.12   10.2.0.2
//	                         +-- internet -+
//	                             203.0.113.1  signaling service
//	                             203.0.113.2  coturn, STUN and TURN over UDP, TCP and TLS
//
// A side without a router is 203.0.113.11 or .12 itself.
const (
	ServiceIP = "203.0.113.1"
	TurnIP    = "203.0.113.2"
)

// Internet is what stands between a camera and its viewer.
type Internet struct {
	t    testing.TB
	name string // of the internet's namespace; the others add to it
	dir  string
	At   string // the signaling service's address, as in a URL

	agent   *Process        // the camera's
	ca      string          // a line of the aws section, once coturn has a certificate
	Env     []string        // of the camera and the viewer
	Channel string          // what the camera's config says of it; "" is the usual
	Webrtc  string          // lines of the camera's webrtc section
	Routed  map[string]bool // sites that have a router
}

// NewInternet makes the namespaces, or skips the test where none can be made.
func NewInternet(t testing.TB) *Internet {
	t.Helper()
	for _, program := range []string{"ip", "nft", "conntrack", "turnserver", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; hint: apt-get install iproute2 nftables conntrack coturn procps", err)
		}
	}
	n := &Internet{t: t, name: "kvs-" + strings.ToLower(rand.Text()[:8]), dir: t.TempDir(), At: ServiceIP,
		Routed: map[string]bool{}}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.name).Run() })
	n.In("", "ip", "link", "set", "lo", "up")
	n.In("", "ip", "link", "add", "name", "br0", "type", "bridge")
	n.In("", "ip", "link", "set", "br0", "up")
	for _, a := range []string{ServiceIP, TurnIP} {
		n.In("", "ip", "addr", "add", a+"/24", "dev", "br0")
	}
	// Packets for private addresses vanish, as they do out there. Were they refused, coturn would end the session that
	// sent them.
	n.In("", "ip", "neigh", "add", "203.0.113.254", "lladdr", "02:00:00:00:00:01", "dev", "br0", "nud", "permanent")
	n.In("", "ip", "route", "add", "default", "via", "203.0.113.254")
	return n
}

// In runs a program in a namespace, to its end.
func (n *Internet) In(where string, args ...string) {
	n.t.Helper()
	if _, stderr, code := Run(n.t, 10*time.Second, Environment("PATH=/usr/sbin:/sbin:/usr/bin:/bin"), "ip",
		append([]string{"netns", "exec", n.name + where}, args...)...); code != 0 {
		n.t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
}

// Program starts a program in a namespace.
func (n *Internet) Program(where string, env []string, name string, args ...string) *Process {
	n.t.Helper()
	return Start(n.t, env, "ip", append([]string{"netns", "exec", n.name + where, name}, args...)...)
}

// Namespace makes a host that no cable goes to, with loopback.
func (n *Internet) Namespace(where string) {
	n.t.Helper()
	if _, stderr, code := Run(n.t, 10*time.Second, Environment(), "ip", "netns", "add", n.name+where); code != 0 {
		n.t.Fatal(stderr)
	}
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.name+where).Run() })
	n.In(where, "ip", "link", "set", "lo", "up")
}

// Wire lays a cable between two namespaces. The near end gets an address.
func (n *Internet) Wire(near, nearDev, addr, far, farDev string) {
	n.t.Helper()
	n.In(near, "ip", "link", "add", nearDev, "type", "veth", "peer", "name", farDev, "netns", n.name+far)
	n.In(near, "ip", "addr", "add", addr, "dev", nearDev)
	n.In(near, "ip", "link", "set", nearDev, "up")
	n.In(far, "ip", "link", "set", farDev, "up")
}

// Plug connects a site to the internet, behind a router with these nft rules; without rules there is no router.
func (n *Internet) Plug(site string, number int, rules string) {
	n.t.Helper()
	n.Namespace(site)
	public := fmt.Sprintf("203.0.113.%d/24", 10+number)
	outside := site
	if rules != "" {
		outside = site + "r"
		n.Namespace(outside)
	}
	n.Wire(outside, "wan", public, "", "to"+site)
	n.In("", "ip", "link", "set", "to"+site, "master", "br0")
	if rules == "" {
		return
	}
	n.Routed[site] = true
	n.Wire(outside, "lan", fmt.Sprintf("10.%d.0.1/24", number), site, "eth")
	n.In(site, "ip", "addr", "add", fmt.Sprintf("10.%d.0.2/24", number), "dev", "eth")
	n.In(site, "ip", "route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", number))
	n.In(outside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.SetRules(outside, rules)
}

// TwoLinks gives the camera a second link, to a router of its own, which is not used so far.
func (n *Internet) TwoLinks(rules string) {
	n.t.Helper()
	n.Plug("cam", 1, rules)
	n.Plug("spare", 3, rules)
	n.Wire("sparer", "lan2", "10.4.0.1/24", "cam", "eth2")
	n.In("cam", "ip", "addr", "add", "10.4.0.2/24", "dev", "eth2")
}

// SetRules replaces a router's nft rules.
func (n *Internet) SetRules(router, rules string) {
	n.t.Helper()
	file := filepath.Join(n.dir, router+".nft")
	if err := os.WriteFile(file, []byte("flush ruleset\n"+rules), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.In(router, "nft", "-f", file)
}

// RouterRules is the rules of one that translates addresses as masquerade is told to, lets nobody in who was not spoken
// to, and forwards no packet that drop describes.
func RouterRules(masquerade, drop string) string {
	if drop != "" {
		drop += " drop"
	}
	return `table ip router {
	chain nat { type nat hook postrouting priority 100; oifname "wan" meta l4proto udp masquerade ` + masquerade + `; oifname "wan" masquerade; }
	chain in { type filter hook input priority 0; iifname "wan" drop; }
	chain through { type filter hook forward priority 0; iifname "wan" ct state new drop; ` + drop + `; }
}
`
}

const (
	TurnUDP = "turn:" + TurnIP + ":3478?transport=udp"
	turnTCP = "turn:" + TurnIP + ":3478?transport=tcp"
	StunURL = "stun:" + TurnIP + ":3478"
)
