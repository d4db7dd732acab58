package peer

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/pion/webrtc/v4"
)

// route is the path that ICE has chosen for one connection. It alone decides whether media goes around Pion, and tells the senders and the
// RTCP fast path of each change together, under one lock.
//
// ICE announces a change from a goroutine of its own, possibly long after it. So an announcement only says that there is something to read:
// the pair is read under the lock, by whoever comes, and what was read last is what was applied last.
type route struct {
	selected func() (*webrtc.ICECandidatePair, error) // what ICE has chosen by now; nil is nothing
	sockets  *sockets
	cipher   *srtpCipher   // nil: media goes through Pion
	reports  *rtcpFastPath // nil on a virtual network
	demux    *udpDemux     // likewise
	demote   func(*sender) // takes a sender out of its shard
	fail     func(error)   // ends the connection

	attached atomic.Pointer[[]*sender] // those that run; written under mu, read for each report

	mu     sync.Mutex // guards the fields below, and is held while senders and the fast path are told
	pair   *webrtc.ICECandidatePair
	closed bool
}

var errNoRelay = errors.New("the path moved to a relay; the viewer must come again")

// newRoute makes the route of a connection whose DTLS handshake is done, and follows ICE until it is closed.
func newRoute(l *link, e *Engine, g *outgoing) *route {
	ice := l.pc.SCTP().Transport().ICETransport()
	r := &route{selected: ice.GetSelectedCandidatePair, sockets: l.sockets, demote: g.b.demote, fail: g.guard.fail}
	if l.sockets.udp != nil {
		cipher, open, err := l.keys.ciphers()
		if err != nil {
			g.log.Debug("media goes through pion", "why", err)
		}
		r.cipher, r.demux = cipher, l.sockets.udp.in
		r.reports = newRTCPFastPath(open, l.inbound, r.onReport)
	}
	ice.OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		defer g.guard.contain("route")
		r.update()
	})
	return r
}

// attach starts a sender on the path as it is now, and keeps it told. must is the level of a remote that takes no other.
func (r *route) attach(s *sender, must Level) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read() {
		r.tell(r.senders())
	}
	remote := ""
	if r.pair != nil {
		remote = r.pair.Remote.Address
	}
	s.start(classOf(r.pair), remote, must)
	senders := append(slices.Clone(r.senders()), s)
	r.attached.Store(&senders)
	r.useDirect([]*sender{s})
}

// detach lets a sender have no more news.
func (r *route) detach(s *sender) {
	r.mu.Lock()
	defer r.mu.Unlock()
	senders := slices.DeleteFunc(slices.Clone(r.senders()), func(x *sender) bool { return x == s })
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

// close ends what the route does. It must come before the peer connection's GracefulClose, which waits for ICE's announcements under the lock
// that reading the pair takes.
func (r *route) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.reports != nil {
		r.demux.release(r.reports)
	}
}

// read takes over the pair that ICE has chosen, and reports whether there is one. Between two paths, while ICE has none, the last stays.
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

func (r *route) tell(senders []*sender) {
	for _, s := range senders {
		s.moved(classOf(r.pair), r.pair.Remote.Address)
	}
	r.useDirect(senders)
}

// useDirect lets packets go straight into the socket where the path begins, when it is a plain UDP one, and what comes back be taken from
// there; else both go through Pion.
func (r *route) useDirect(senders []*sender) {
	if r.demux == nil || r.pair == nil || r.closed {
		return
	}
	out, to := r.sockets.straight(r.pair)
	r.hear(out, to)
	if r.cipher == nil {
		return
	}
	for _, s := range senders {
		switch {
		case out != nil:
			s.setDirect(&direct{cipher: r.cipher, out: out, to: to})
		case s.setDirect(nil):
			r.demote(s)
		default:
			r.fail(errNoRelay)
		}
	}
}

// hear lets the fast path have what comes over the shared socket from the other end of the path.
func (r *route) hear(out *udpbatch.Sender, from netip.AddrPort) {
	if r.sockets.udp == nil || out != r.sockets.udp.out {
		from = netip.AddrPort{}
	}
	r.demux.bind(r.reports, from)
}

// onReport hands a report to all senders, each of which knows its own.
func (r *route) onReport(compound []byte, again *arena) {
	for _, s := range r.senders() {
		s.onReports(compound, again)
	}
}

func (r *route) senders() []*sender {
	if s := r.attached.Load(); s != nil {
		return *s
	}
	return nil
}

// classOf tells how far away the remote is; nil is far.
func classOf(pair *webrtc.ICECandidatePair) pathClass {
	if pair == nil {
		return far
	}
	if pair.Local.Typ == webrtc.ICECandidateTypeRelay || pair.Remote.Typ == webrtc.ICECandidateTypeRelay {
		return relayed
	}
	if a, err := netip.ParseAddr(pair.Remote.Address); err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
		return near
	}
	return far
}
