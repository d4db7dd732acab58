package rig

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
	"path/filepath"
	"strings"
	"time"
)

// StartTURN starts coturn, and gives the file with its certificate.
func (n *Internet) StartTURN() string {
	n.t.Helper()
	cert, key := n.certificate()
	p := n.Program("", Environment(), "turnserver", "-n", "--no-cli", "--log-file=stdout", "--simple-log",
		"--pidfile="+filepath.Join(n.dir, "turn.pid"),
		"--listening-ip="+TurnIP, "--relay-ip="+TurnIP, "--listening-port=3478", "--tls-listening-port=5349",
		"--cert="+cert, "--pkey="+key,
		"--realm=test", "--lt-cred-mech", "--user=u:secret", "--userdb="+filepath.Join(n.dir, "turn.db"), "--verbose")
	p.Find(n.t, &p.Stdout, 10*time.Second, `(?i)TLS.*listener opened|IPv4\. TLS/(TCP|SCTP)? ?listener`)
	return cert
}

func (n *Internet) certificate() (cert, key string) {
	n.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(TurnIP)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
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
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der},
		key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	return cert, key
}

// config writes a config for one side. servers are URLs of coturn.
func (n *Internet) config(site, channel string, servers []string) string {
	n.t.Helper()
	var urls string
	for _, u := range servers {
		urls += fmt.Sprintf("    - {urls: %q, username: u, credential: secret}\n", u)
	}
	if urls != "" {
		urls = "  ice_servers:\n" + urls
	}
	if site == "cam" {
		urls += n.Webrtc
	}
	if urls != "" {
		urls = "webrtc:\n" + urls
	}
	file := filepath.Join(n.dir, site+".yaml")
	text := "aws:\n  endpoint: http://" + n.At + ":9790\n" + n.ca +
		"  credentials: {access_key_id: localkvs, secret_access_key: localkvs}\n" + urls +
		"sources:\n  pattern: {url: \"testpattern:?size=320x240&rate=15&gop=1s\"}\nchannels:\n  gate: {" + channel +
		"}\nstatus: {listen: \"off\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// Serve starts the signaling service, coturn and the camera's agent.
func (n *Internet) Serve(servers []string) (env []string) {
	n.t.Helper()
	n.ca = "  ca_file: " + n.StartTURN() + "\n"
	env = Environment(n.Env...)
	p := n.Program("", env, Binary, "localkvs", "--listen", n.At+":9790")
	p.Find(n.t, &p.Stderr, 10*time.Second, "localkvs is up")
	channel := n.Channel
	if channel == "" {
		channel = "source: pattern, create: true"
	}
	agent := n.Program("cam", env, Binary, "run", "-c", n.config("cam", channel, servers))
	agent.Find(n.t, &agent.Stderr, 20*time.Second, "signaling connected")
	n.agent = agent
	return env
}

// Seen is what kvsagent view -o json tells.
type Seen struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	Video *struct {
		Frames uint64 `json:"frames"`
		Lost   uint64 `json:"lost"`
	} `json:"video"`
}

// View watches for a while from the viewer's site.
func (n *Internet) View(env []string, servers []string, duration string, meanwhile func()) Seen {
	n.t.Helper()
	args := []string{"view", "gate", "-c", n.config("view", "role: viewer", servers), "-o", "json", "--duration",
		duration, "--client-id", "tablet"}
	if strings.Contains(n.Channel, "offer_to") {
		args = append(args, "--wait-for-offer")
	}
	p := n.Program("view", env, Binary, args...)
	if meanwhile != nil {
		meanwhile()
	}
	p.Wait(n.t, 90*time.Second)
	var w Seen
	out := p.Stdout.String()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if json.Unmarshal([]byte(out), &w) != nil && json.Unmarshal([]byte(lines[len(lines)-1]), &w) != nil {
		n.t.Fatalf("view has written %q", out)
	}
	return w
}
