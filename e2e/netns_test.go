package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
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
	serviceIP = "203.0.113.1"
	turnIP    = "203.0.113.2"
)

// internet is what stands between a camera and its viewer.
type internet struct {
	t    *testing.T
	name string // of the internet's namespace; the others add to it
	dir  string
	at   string // the signaling service's address, as in a URL

	agent   *process        // the camera's
	ca      string          // a line of the aws section, once coturn has a certificate
	env     []string        // of the camera and the viewer
	channel string          // what the camera's config says of it; "" is the usual
	webrtc  string          // lines of the camera's webrtc section
	site    map[string]bool // sites that have a router
}

// newInternet makes the namespaces, or skips the test where none can be made.
func newInternet(t *testing.T) *internet {
	t.Helper()
	for _, program := range []string{"ip", "nft", "conntrack", "turnserver", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; hint: apt-get install iproute2 nftables conntrack coturn procps", err)
		}
	}
	n := &internet{t: t, name: "kvs-" + strings.ToLower(rand.Text()[:8]), dir: t.TempDir(), at: serviceIP, site: map[string]bool{}}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.name).Run() })
	n.in("", "ip", "link", "set", "lo", "up")
	n.in("", "ip", "link", "add", "name", "br0", "type", "bridge")
	n.in("", "ip", "link", "set", "br0", "up")
	for _, a := range []string{serviceIP, turnIP} {
		n.in("", "ip", "addr", "add", a+"/24", "dev", "br0")
	}
	// Packets for private addresses vanish, as they do out there. Were they refused, coturn would end the session that sent them.
	n.in("", "ip", "neigh", "add", "203.0.113.254", "lladdr", "02:00:00:00:00:01", "dev", "br0", "nud", "permanent")
	n.in("", "ip", "route", "add", "default", "via", "203.0.113.254")
	return n
}

// in runs a program in a namespace, to its end.
func (n *internet) in(where string, args ...string) {
	n.t.Helper()
	if _, stderr, code := run(n.t, 10*time.Second, environment("PATH=/usr/sbin:/sbin:/usr/bin:/bin"), "ip", append([]string{"netns", "exec", n.name + where}, args...)...); code != 0 {
		n.t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
}

// program starts a program in a namespace.
func (n *internet) program(where string, env []string, name string, args ...string) *process {
	n.t.Helper()
	return start(n.t, env, "ip", append([]string{"netns", "exec", n.name + where, name}, args...)...)
}

func (n *internet) namespace(where string) {
	n.t.Helper()
	if _, stderr, code := run(n.t, 10*time.Second, environment(), "ip", "netns", "add", n.name+where); code != 0 {
		n.t.Fatal(stderr)
	}
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.name+where).Run() })
	n.in(where, "ip", "link", "set", "lo", "up")
}

// wire lays a cable between two namespaces. The near end gets an address.
func (n *internet) wire(near, nearDev, addr, far, farDev string) {
	n.t.Helper()
	n.in(near, "ip", "link", "add", nearDev, "type", "veth", "peer", "name", farDev, "netns", n.name+far)
	n.in(near, "ip", "addr", "add", addr, "dev", nearDev)
	n.in(near, "ip", "link", "set", nearDev, "up")
	n.in(far, "ip", "link", "set", farDev, "up")
}

// plug connects a site to the internet, behind a router with these nft rules; without rules there is no router.
func (n *internet) plug(site string, number int, rules string) {
	n.t.Helper()
	n.namespace(site)
	public := fmt.Sprintf("203.0.113.%d/24", 10+number)
	outside := site
	if rules != "" {
		outside = site + "r"
		n.namespace(outside)
	}
	n.wire(outside, "wan", public, "", "to"+site)
	n.in("", "ip", "link", "set", "to"+site, "master", "br0")
	if rules == "" {
		return
	}
	n.site[site] = true
	n.wire(outside, "lan", fmt.Sprintf("10.%d.0.1/24", number), site, "eth")
	n.in(site, "ip", "addr", "add", fmt.Sprintf("10.%d.0.2/24", number), "dev", "eth")
	n.in(site, "ip", "route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", number))
	n.in(outside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.rules(outside, rules)
}

// rules replaces a router's nft rules.
func (n *internet) rules(router, rules string) {
	n.t.Helper()
	file := filepath.Join(n.dir, router+".nft")
	if err := os.WriteFile(file, []byte("flush ruleset\n"+rules), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.in(router, "nft", "-f", file)
}

// router is the rules of one that translates addresses as masquerade is told to, lets nobody in who was not spoken to, and forwards no
// packet that drop describes.
func router(masquerade, drop string) string {
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

// relay starts coturn, and gives the file with its certificate.
func (n *internet) relay() string {
	n.t.Helper()
	cert, key := n.certificate()
	p := n.program("", environment(), "turnserver", "-n", "--no-cli", "--log-file=stdout", "--simple-log", "--pidfile="+filepath.Join(n.dir, "turn.pid"),
		"--listening-ip="+turnIP, "--relay-ip="+turnIP, "--listening-port=3478", "--tls-listening-port=5349", "--cert="+cert, "--pkey="+key,
		"--realm=test", "--lt-cred-mech", "--user=u:secret", "--userdb="+filepath.Join(n.dir, "turn.db"), "--verbose")
	p.find(n.t, &p.stdout, 10*time.Second, `(?i)TLS.*listener opened|IPv4\. TLS/(TCP|SCTP)? ?listener`)
	return cert
}

func (n *internet) certificate() (cert, key string) {
	n.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(turnIP)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		n.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		n.t.Fatal(err)
	}
	cert, key = filepath.Join(n.dir, "turn.pem"), filepath.Join(n.dir, "turn.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	return cert, key
}

// config writes a config for one side. servers are URLs of coturn.
func (n *internet) config(site, channel string, servers []string) string {
	n.t.Helper()
	var urls string
	for _, u := range servers {
		urls += fmt.Sprintf("    - {urls: %q, username: u, credential: secret}\n", u)
	}
	if urls != "" {
		urls = "  ice_servers:\n" + urls
	}
	if site == "cam" {
		urls += n.webrtc
	}
	if urls != "" {
		urls = "webrtc:\n" + urls
	}
	file := filepath.Join(n.dir, site+".yaml")
	text := "aws:\n  endpoint: http://" + n.at + ":9790\n" + n.ca + "  credentials: {access_key_id: localkvs, secret_access_key: localkvs}\n" + urls +
		"sources:\n  pattern: {url: \"testpattern:?size=320x240&rate=15&gop=1s\"}\nchannels:\n  gate: {" + channel + "}\nstatus: {listen: \"off\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// seen is what kvsagent view -o json tells.
type seen struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	Video *struct {
		Frames uint64 `json:"frames"`
		Lost   uint64 `json:"lost"`
	} `json:"video"`
}

// serve starts the signaling service, coturn and the camera's agent.
func (n *internet) serve(servers []string) (env []string) {
	n.t.Helper()
	n.ca = "  ca_file: " + n.relay() + "\n"
	env = environment(n.env...)
	p := n.program("", env, binary, "localkvs", "--listen", n.at+":9790")
	p.find(n.t, &p.stderr, 10*time.Second, "localkvs is up")
	channel := n.channel
	if channel == "" {
		channel = "source: pattern, create: true"
	}
	agent := n.program("cam", env, binary, "run", "-c", n.config("cam", channel, servers))
	agent.find(n.t, &agent.stderr, 20*time.Second, "signaling connected")
	n.agent = agent
	return env
}

// view watches for a while from the viewer's site.
func (n *internet) view(env []string, servers []string, duration string, meanwhile func()) seen {
	n.t.Helper()
	args := []string{"view", "gate", "-c", n.config("view", "role: viewer", servers), "-o", "json", "--duration", duration, "--client-id", "tablet"}
	if strings.Contains(n.channel, "offer_to") {
		args = append(args, "--wait-for-offer")
	}
	p := n.program("view", env, binary, args...)
	if meanwhile != nil {
		meanwhile()
	}
	p.wait(n.t, 90*time.Second)
	var w seen
	out := p.stdout.String()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if json.Unmarshal([]byte(out), &w) != nil && json.Unmarshal([]byte(lines[len(lines)-1]), &w) != nil {
		n.t.Fatalf("view has written %q", out)
	}
	return w
}

func TestPathsThroughRealRouters(t *testing.T) {
	const (
		none      = ""
		symmetric = "fully-random"
		udp       = "turn:" + turnIP + ":3478?transport=udp"
		tcp       = "turn:" + turnIP + ":3478?transport=tcp"
		tls       = "turns:" + turnIP + ":5349?transport=tcp"
		dtls      = "turns:" + turnIP + ":5349?transport=udp"
		stun      = "stun:" + turnIP + ":3478"
		toTURN    = "ct direction original ip protocol { tcp, udp } ip daddr != " + serviceIP // but for signaling and the proxy
	)
	for _, tt := range []struct {
		name         string
		camera, view string // nft rules
		servers      []string
		cameras      []string // of the camera alone; default the same
		want         string   // in the path, ours to theirs as the viewer sees it; "" is no picture
		webrtc       string   // of the camera's config
		proxy        string   // in the environment
	}{
		{"no router", none, none, nil, nil, "host", "", ""},
		{"one router", router("", ""), none, []string{stun}, nil, "srflx|prflx", "", ""},
		{"two routers", router("", ""), router("", ""), []string{stun}, nil, "srflx|prflx", "", ""},
		{"symmetric, no relay", router(symmetric, ""), router(symmetric, ""), []string{stun}, nil, "", "", ""},
		{"symmetric, relay over udp", router(symmetric, ""), router(symmetric, ""), []string{stun, udp}, nil, "relay", "", ""},
		{"udp blocked, relay over tcp", router("", "meta l4proto udp"), router("", ""), []string{stun, udp}, []string{tcp}, "relay", "", ""},
		{"udp blocked, relay over tls", router("", "meta l4proto udp"), router("", "meta l4proto udp"), []string{tls}, nil, "relay", "", ""},
		{"udp blocked, no relay", router("", "meta l4proto udp"), router("", ""), []string{stun}, nil, "", "", ""},
		{"all but udp 5349 blocked, relay over dtls", router("", "ct direction original udp dport != 5349"), none, nil, []string{dtls}, "relay", "", ""},
		{"only a proxy, relay over tcp", router("", toTURN), none, nil, []string{udp, tcp}, "relay", "  proxy: http://user:secret@" + proxyAt + "\n", ""},
		{"only a proxy, relay over tls", router("", toTURN), none, nil, []string{tls}, "relay", "", "HTTPS_PROXY=http://user:secret@" + proxyAt},
		{"only a proxy that is turned off", router("", toTURN), none, nil, []string{tls}, "", "  proxy: off\n", "HTTPS_PROXY=http://user:secret@" + proxyAt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.plug("cam", 1, tt.camera)
			n.plug("view", 2, tt.view)
			cameras := tt.cameras
			if cameras == nil {
				cameras = tt.servers
			}
			n.webrtc = tt.webrtc
			if strings.HasPrefix(tt.name, "only a proxy") {
				n.proxy()
			}
			if tt.proxy != "" {
				n.env = []string{tt.proxy}
			}
			env := n.serve(cameras)
			w := n.view(env, tt.servers, "3s", nil)
			if tt.want == "" {
				if w.Video != nil && w.Video.Frames > 0 || !strings.Contains(w.Error, "no way to the remote") {
					t.Errorf("view = %+v, want the words that ice found no way", w)
				}
				return
			}
			ok := false
			for want := range strings.SplitSeq(tt.want, "|") {
				ok = ok || strings.Contains(w.Path, want)
			}
			if !ok || w.Video == nil || w.Video.Frames < 30 {
				t.Errorf("view = %+v, video %+v; want a path with %s and 30 pictures", w, w.Video, tt.want)
			}
			if tt.want != "relay" && strings.Contains(w.Path, "relay") {
				t.Errorf("the path is %s, where a direct one exists", w.Path)
			}
		})
	}
}

// TestRouterForgets: the camera's router loses its table in mid-session, and gives the camera another port. The viewer sees the camera's
// checks come from a new address and answers there.
func TestRouterForgets(t *testing.T) {
	n := newInternet(t)
	n.plug("cam", 1, router("to :20000-29999", ""))
	n.plug("view", 2, "")
	stun := []string{"stun:" + turnIP + ":3478"}
	env := n.serve(stun)
	w := n.view(env, stun, "15s", func() {
		time.Sleep(5 * time.Second) // some seconds of a picture
		n.rules("camr", router("to :30000-39999", ""))
		n.in("camr", "conntrack", "-F")
	})
	if w.Video != nil {
		t.Logf("%d of about 225 pictures came, %d packets were lost", w.Video.Frames, w.Video.Lost)
	}
	if w.Video == nil || w.Video.Frames < 150 {
		t.Errorf("view = %+v, video %+v; want 150 of 225 pictures or more", w, w.Video)
	}
}

// TestIPv6Only: neither side has an address of the old kind.
func TestIPv6Only(t *testing.T) {
	n := newInternet(t)
	n.at = "[2001:db8::1]"
	n.in("", "ip", "addr", "add", "2001:db8::1/64", "dev", "br0", "nodad")
	for i, site := range []string{"cam", "view"} {
		n.plug(site, i+1, "")
		n.in(site, "ip", "-4", "addr", "flush", "dev", "wan")
		n.in(site, "ip", "addr", "add", fmt.Sprintf("2001:db8::1%d/64", i), "dev", "wan", "nodad")
	}
	w := n.view(n.serve(nil), nil, "3s", nil)
	if w.Video == nil || w.Video.Frames < 30 || !strings.Contains(w.Path, "host") {
		t.Errorf("view = %+v, video %+v; want 30 pictures", w, w.Video)
	}
}
