package peer

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/webrtc/v4"
)

// route is the path that ICE has chosen for one connection. It alone decides whether media goes around Pion, and tells
// the senders and the RTCP fast path of each change together, under one lock.
//
// ICE announces a change from a goroutine of its own, possibly long after it. So an announcement only says that there
// is something to read: the pair is read under the lock, by whoever comes, and what was read last is what was applied
// last.
type route struct {
	selected func() (*webrtc.ICECandidatePair, error) // what ICE has chosen by now; nil is nothing
	sockets  *transport.Sockets
	cipher   *wire.SRTPCipher        // nil: media goes through Pion
	reports  *transport.RTCPFastPath // nil on a virtual network
	demux    *transport.UDPDemux     // likewise
	demote   func(*fanout.Sender)    // takes a sender out of its shard
	fail     func(error)             // ends the connection

	attached atomic.Pointer[[]*fanout.Sender] // those that run; written under mu, read for each report

	mu     sync.Mutex // guards the fields below, and is held while senders and the fast path are told
	pair   *webrtc.ICECandidatePair
	closed bool
}

var errNoRelay = errors.New(
	"the path moved to a relay, and Pion has lost count of the packets; the viewer must come again")

// newRoute makes the route of a connection whose DTLS handshake is done, and follows ICE until it is closed.
func newRoute(l *link, e *Engine, g *outgoing) *route {
	ice := l.pc.SCTP().Transport().ICETransport()
	r := &route{selected: ice.GetSelectedCandidatePair, sockets: l.sockets, demote: g.b.Demote, fail: g.guard.Fail}
	if l.sockets.UDP != nil {
		cipher, open, err := l.keys.Ciphers()
		if err != nil {
			e.onIndirect(g.log, err)
		}
		r.cipher, r.demux = cipher, l.sockets.UDP.In
		r.reports = transport.NewRTCPFastPath(open, l.inbound, r.onReport)
	}
	ice.OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		defer g.guard.Contain("route")
		r.update()
	})
	return r
}

// attach starts a sender on the path as it is now, and keeps it told. must is the level of a remote that takes no
// other.
func (r *route) attach(s *fanout.Sender, must fanout.Level) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read() {
		r.tell(r.senders())
	}
	remote := ""
	if r.pair != nil {
		remote = r.pair.Remote.Address
	}
	s.Start(classOf(r.pair), remote, must)
	senders := append(slices.Clone(r.senders()), s)
	r.attached.Store(&senders)
	r.useDirect([]*fanout.Sender{s})
}

// detach lets a sender have no more news.
func (r *route) detach(s *fanout.Sender) {
	r.mu.Lock()
	defer r.mu.Unlock()
	senders := slices.DeleteFunc(slices.Clone(r.senders()), func(x *fanout.Sender) bool { return x == s })
	r.attached.Store(&senders)
}

// update brings all senders onto the path that ICE has chosen by now.
func (r *route) update() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read() {
		r.tell(r.senders())
	}
}

// close ends what the route does. It must come before the peer connection's GracefulClose, which waits for ICE's
// announcements under the lock that reading the pair takes.
func (r *route) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.reports != nil {
		r.demux.Release(r.reports)
	}
}

// read takes over the pair that ICE has chosen, and reports whether there is one. Between two paths, while ICE has
// none, the last stays.
func (r *route) read() bool {
	if r.closed {
		return false
	}
	pair, err := r.selected()
	if err != nil || pair == nil {
		return false
	}
	r.pair = pair
	return true
}

func (r *route) tell(senders []*fanout.Sender) {
	for _, s := range senders {
		s.Moved(classOf(r.pair), r.pair.Remote.Address)
	}
	r.useDirect(senders)
}

// useDirect lets packets go straight into the socket where the path begins, when it is a plain UDP one, and what comes
// back be taken from there; else both go through Pion.
func (r *route) useDirect(senders []*fanout.Sender) {
	if r.demux == nil || r.pair == nil || r.closed {
		return
	}
	out, to := r.sockets.Straight(r.pair)
	r.hear(out, to)
	if r.cipher == nil {
		return
	}
	for _, s := range senders {
		switch {
		case out != nil:
			s.SetDirect(&wire.Direct{Cipher: r.cipher, Out: out, To: to})
		case s.SetDirect(nil):
			r.demote(s)
		default:
			r.fail(errNoRelay)
		}
	}
}

// hear lets the fast path have what comes over the shared socket from the other end of the path.
func (r *route) hear(out *udpbatch.Sender, from netip.AddrPort) {
	if r.sockets.UDP == nil || out != r.sockets.UDP.Out {
		from = netip.AddrPort{}
	}
	r.demux.Bind(r.reports, from)
}

// onReport hands a report to all senders, each of which knows its own.
func (r *route) onReport(compound []byte, again *wire.Arena) {
	for _, s := range r.senders() {
		s.OnReports(compound, again)
	}
}

func (r *route) senders() []*fanout.Sender {
	if s := r.attached.Load(); s != nil {
		return *s
	}
	return nil
}

// classOf tells how far away the remote is; nil is far.
func classOf(pair *webrtc.ICECandidatePair) fanout.PathClass {
	if pair == nil {
		return fanout.Far
	}
	if pair.Local.Typ == webrtc.ICECandidateTypeRelay || pair.Remote.Typ == webrtc.ICECandidateTypeRelay {
		return fanout.Relayed
	}
	if a, err := netip.ParseAddr(pair.Remote.Address); err == nil &&
		(a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
		return fanout.Near
	}
	return fanout.Far
}
