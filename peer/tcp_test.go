package peer_test

import (
	"net"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/webrtc/v4"
)

// TestAViewerWithoutUDP calls us over TCP (RFC 6544), where the operator has opened a port for that.
func TestAViewerWithoutUDP(t *testing.T) {
	port := freePort(t)
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true, TCPPort: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	var settings webrtc.SettingEngine
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	settings.SetIncludeLoopbackCandidate(true)
	h, master, _ := connectHostile(t, e, broadcast(t, &ticker{every: 40 * time.Millisecond, gop: 25, size: 2000}, nil),
		settings, true)
	pair, err := h.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil || pair.Local.Protocol != webrtc.ICEProtocolTCP || int(pair.Remote.Port) != port {
		t.Errorf("the path is %v, %v; want TCP to port %d", pair, err, port)
	}
	eventually(t, 10*time.Second, "pictures are sent", func() bool {
		r := master.Report()
		return len(r.Sending) > 0 && r.Sending[0].Frames > 20 && !r.Direct
	})
}

// freePort is one for TCP that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, most time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", most, what)
		}
	}
}
