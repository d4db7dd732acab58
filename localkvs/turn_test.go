package localkvs_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"github.com/kvsagent/kvsagent/localkvs"
)

type iceServer struct {
	Uris               []string
	Username, Password string
	Ttl                int
}

// iceServers asks for TURN credentials like the C SDK.
func iceServers(t *testing.T, s *localkvs.Server, arn string) iceServer {
	t.Helper()
	resp, text := post(t, s, "/v1/get-ice-server-config",
		`{"ChannelARN":"`+arn+`","ClientId":"ProducerMaster","Service":"TURN"}`, time.Now())
	var out struct{ IceServerList []iceServer }
	if err := json.Unmarshal([]byte(text), &out); err != nil || len(out.IceServerList) == 0 {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	return out.IceServerList[0]
}

// reach opens the transport of one of the server's URIs, such as turn:127.0.0.1:1234?transport=udp.
func reach(t *testing.T, u *url.URL, conf *tls.Config) (net.PacketConn, error) {
	if u.Query().Get("transport") == "udp" {
		return net.ListenPacket("udp", "127.0.0.1:0")
	}
	dial := net.Dial
	if u.Scheme == "turns" {
		dial = (&tls.Dialer{Config: conf}).Dial
	}
	c, err := dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return turn.NewSTUNConn(c), nil
}

// allocate asks for a relay.
func allocate(t *testing.T, uri, user, password string) (net.PacketConn, error) {
	return allocateTLS(t, uri, user, password, nil)
}

func allocateTLS(t *testing.T, uri, user, password string, conf *tls.Config) (net.PacketConn, error) {
	t.Helper()
	u, err := url.Parse(strings.Replace(uri, ":", "://", 1))
	if err != nil {
		t.Fatal(err)
	}
	under, err := reach(t, u, conf)
	if err != nil {
		return nil, err
	}
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: u.Host, TURNServerAddr: u.Host, Conn: under, Username: user, Password: password,
		LoggerFactory: logging.NewDefaultLoggerFactory(), RTO: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); under.Close() })
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := c.Allocate()
	if err == nil {
		t.Cleanup(func() { relay.Close() })
	}
	return relay, err
}

func TestCredentials(t *testing.T) {
	s := start(t, withTLS(t, localkvs.Options{}))
	arn := create(t, s, "cam")
	ice := iceServers(t, s, arn)
	until, rest, _ := strings.Cut(ice.Username, ":")
	named, err := base64.StdEncoding.DecodeString(rest)
	if err != nil || string(named) != "v1:"+arn {
		t.Errorf("user %s names %q", ice.Username, named)
	}
	if unix, _ := strconv.ParseInt(until, 10, 64); time.Until(time.Unix(unix, 0)).Round(time.Minute) != 5*time.Minute ||
		ice.Ttl != 300 {
		t.Errorf("user %s, ttl %d: want five minutes", ice.Username, ice.Ttl)
	}
	if secret, err := base64.StdEncoding.DecodeString(ice.Password); err != nil || len(secret) != 32 {
		t.Errorf("password of %d bytes, %v", len(secret), err)
	}
	if len(ice.Uris) != 3 ||
		!slices.ContainsFunc(ice.Uris, func(u string) bool { return strings.HasPrefix(u, "turns:") }) {
		t.Errorf("uris %v", ice.Uris)
	}
	if !strings.HasPrefix(s.STUNURI(), "stun:127.0.0.1:") {
		t.Errorf("stun at %s", s.STUNURI())
	}
}

func TestTURN(t *testing.T) {
	s := start(t, withTLS(t, localkvs.Options{Limits: generous()}))
	ice := iceServers(t, s, create(t, s, "cam"))
	for i, name := range []string{"udp", "tcp", "tls"} {
		t.Run(name, func(t *testing.T) {
			relay, err := allocateTLS(t, ice.Uris[i], ice.Username, ice.Password, trust(t, s))
			if err != nil {
				t.Fatal(err)
			}
			peer, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			if _, err := relay.WriteTo([]byte("hello"), peer.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			peer.SetReadDeadline(time.Now().Add(patience))
			n, from, err := peer.ReadFrom(b)
			if err != nil || string(b[:n]) != "hello" || from.String() != relay.LocalAddr().String() {
				t.Errorf("got %q from %v, %v; want hello from %v", b[:n], from, err, relay.LocalAddr())
			}
		})
	}
}

func TestTURNRefused(t *testing.T) {
	l := generous()
	l.Allocations = 1
	now := time.Now()
	s := start(t, localkvs.Options{Limits: l, Now: func() time.Time { return now }})
	ice := iceServers(t, s, create(t, s, "cam"))
	if _, err := allocate(t, ice.Uris[0], ice.Username, ice.Password+"x"); err == nil {
		t.Error("a wrong password was accepted")
	}
	later := strconv.FormatInt(now.Add(time.Hour).Unix(), 10) + ice.Username[strings.Index(ice.Username, ":"):]
	if _, err := allocate(t, ice.Uris[0], later, ice.Password); err == nil {
		t.Error("a forged expiry was accepted")
	}
	relay, err := allocate(t, ice.Uris[0], ice.Username, ice.Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := allocate(t, ice.Uris[0], ice.Username, ice.Password); err == nil ||
		!strings.Contains(err.Error(), "486") {
		t.Errorf("a second allocation: %v, want 486", err)
	}
	other := iceServers(t, s, create(t, s, "other"))
	s.SetFaults(localkvs.Faults{ClockOffset: 301 * time.Second})
	if _, err := allocate(t, ice.Uris[0], other.Username, other.Password); err == nil {
		t.Error("credentials outlived their five minutes")
	}
	// An existing relay continues: a new permission needs no fresh credentials.
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := relay.WriteTo([]byte("on"), peer.LocalAddr()); err != nil {
		t.Errorf("old relay: %v", err)
	}
}

// TestRelayBitrate sends at once what the rate allows in many seconds.
func TestRelayBitrate(t *testing.T) {
	l := generous()
	l.RelayBitrate = 8000
	s := start(t, localkvs.Options{Limits: l})
	ice := iceServers(t, s, create(t, s, "cam"))
	relay, err := allocate(t, ice.Uris[1], ice.Username, ice.Password)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	const packets, size, burst = 300, 1000, 64 << 10
	go func() {
		for range packets {
			relay.WriteTo(make([]byte, size), peer.LocalAddr())
		}
	}()
	got, b := 0, make([]byte, 2*size)
	for {
		// Ends the test; more time would only show more drops.
		peer.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, _, err := peer.ReadFrom(b)
		if err != nil {
			break
		}
		got += n
	}
	if got == 0 || got > burst+10*size {
		t.Errorf("%d bytes came of %d, want about %d", got, packets*size, burst)
	}
}
