package peer

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/webrtc/v4"
)

// fakeICE chooses pairs as a test says. Like Pion it announces each choice from another goroutine, some time after it
// can be read.
type fakeICE struct {
	mu      sync.Mutex
	pair    *webrtc.ICECandidatePair
	reading func() // called once, when the pair has been read and before the reader has it
}

func (f *fakeICE) choose(p *webrtc.ICECandidatePair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pair = p
}

func (f *fakeICE) selected() (*webrtc.ICECandidatePair, error) {
	f.mu.Lock()
	p, reading := f.pair, f.reading
	f.reading = nil
	f.mu.Unlock()
	if reading != nil {
		reading()
	}
	return p, nil
}

// udpPair is a path from the shared socket to an address, or from a relay.
func udpPair(local webrtc.ICECandidateType, to string) *webrtc.ICECandidatePair {
	a := netip.MustParseAddrPort(to)
	return &webrtc.ICECandidatePair{
		Local: &webrtc.ICECandidate{Typ: local, Protocol: webrtc.ICEProtocolUDP},
		Remote: &webrtc.ICECandidate{Typ: webrtc.ICECandidateTypeHost, Protocol: webrtc.ICEProtocolUDP,
			Address: a.Addr().String(), Port: a.Port()},
	}
}

// routed is a route over a fake ICE, with a sender that is not attached yet.
type routed struct {
	t    *testing.T
	ice  *fakeICE
	r    *route
	s    *fanout.Sender
	errs []error
}

func newRouted(t *testing.T) *routed {
	t.Helper()
	conn := loopbackSocket(t)
	x := &routed{t: t, ice: &fakeICE{}}
	b := fanout.NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	x.s = fanout.NewSender(b, []*fanout.Track{fanout.NewTrack(media.H264)}, nil)
	x.r = &route{
		selected: x.ice.selected, sockets: &transport.Sockets{UDP: &transport.UDPSocket{Out: udpbatch.New(conn)}},
		cipher:  &wire.SRTPCipher{},
		reports: &transport.RTCPFastPath{}, demux: transport.NewUDPDemux(conn), demote: b.Demote,
		fail: func(err error) { x.errs = append(x.errs, err) },
	}
	return x
}

func loopbackSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// goesTo checks that media goes straight to an address and reports are taken from there; "" is that both go through
// Pion.
func (x *routed) goesTo(want string) {
	x.t.Helper()
	got := ""
	if to := x.s.DirectTo(); to.IsValid() {
		got = to.String()
	}
	if got != want {
		x.t.Errorf("media goes straight to %q, want %q", got, want)
	}
	heard := ""
	if from := x.r.demux.From(x.r.reports); from.IsValid() {
		heard = from.String()
	}
	if heard != want {
		x.t.Errorf("reports are taken from %q, want %q", heard, want)
	}
}

const first, second = "192.0.2.1:1000", "192.0.2.2:2000"

// TestRouteReadsThePairAgain has ICE choose another pair at the worst moment: when a reader has the first, and nobody
// has been told of it.
func TestRouteReadsThePairAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		started bool // the sender was there before, and it is an announcement that reads
	}{{"as a sender starts", false}, {"as a change is announced", true}} {
		t.Run(tt.name, func(t *testing.T) {
			x := newRouted(t)
			if tt.started {
				x.r.attach(x.s, fanout.Main)
			}
			x.ice.choose(udpPair(webrtc.ICECandidateTypeHost, first))
			var announced sync.WaitGroup
			x.ice.reading = func() {
				x.ice.choose(udpPair(webrtc.ICECandidateTypeHost, second))
				if x.r.mu.TryLock() { // nothing keeps the announcement from coming first
					x.r.mu.Unlock()
					x.r.update()
					return
				}
				announced.Go(x.r.update)
			}
			if tt.started {
				x.r.update()
			} else {
				x.r.attach(x.s, fanout.Main)
			}
			announced.Wait()
			x.goesTo(second)
			x.r.update() // the first pair's own announcement, late
			x.goesTo(second)
		})
	}
}

// TestRouteFollowsICE walks over the kinds of paths.
func TestRouteFollowsICE(t *testing.T) {
	x := newRouted(t)
	x.r.attach(x.s, fanout.Main)
	x.goesTo("")
	for _, tt := range []struct {
		name string
		pair *webrtc.ICECandidatePair
		want string
	}{
		{"plain UDP", udpPair(webrtc.ICECandidateTypeHost, first), first},
		{"another address", udpPair(webrtc.ICECandidateTypeHost, second), second},
		{"none for a moment", nil, second},
		{"a relay", udpPair(webrtc.ICECandidateTypeRelay, first), ""},
		{"plain UDP again", udpPair(webrtc.ICECandidateTypeHost, first), first},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x.t = t
			x.ice.choose(tt.pair)
			x.r.update()
			x.goesTo(tt.want)
		})
	}
	if len(x.errs) > 0 {
		t.Errorf("the connection ended with %v", x.errs)
	}
	x.r.detach(x.s)
	x.ice.choose(udpPair(webrtc.ICECandidateTypeHost, second))
	x.r.update()
	if to := x.s.DirectTo().String(); to != first {
		t.Errorf("a sender that has left was sent to %s", to)
	}
	x.r.close()
	x.r.update()
	if x.r.demux.From(x.r.reports).IsValid() {
		t.Error("reports are taken for a route that is closed")
	}
}

// TestRouteDoesNotAskAClosingICE: Pion waits for its announcements while it holds the lock that reading the pair takes.
func TestRouteDoesNotAskAClosingICE(t *testing.T) {
	x := newRouted(t)
	x.r.attach(x.s, fanout.Main)
	x.r.close()
	x.ice.reading = func() { t.Error("the pair was read") }
	x.r.update()
}
