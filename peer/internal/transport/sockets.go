package transport

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"sync"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// Sockets is the network as one connection sees it. It knows the sockets that ICE has opened, besides the shared one:
// those for server reflexive candidates, and those to TURN servers.
type Sockets struct {
	transport.Net
	UDP   *UDPSocket     // that ICE uses; nil on a virtual network
	own   bool           // udp is of this connection alone
	roots *x509.CertPool // whom to trust as TURN servers; nil is the system's
	proxy func(addr string) (*url.URL, error)
	log   logging.LoggerFactory
	host  *HostNetwork // nil on a virtual network

	guard   *contain.Guard // of the connection
	refused func()         // a TURN server no longer keeps what it has given us

	ctx   context.Context // of the connection: Pion's interface to dial has none
	Close context.CancelFunc

	mu     sync.Mutex // guards the fields below
	byPort map[uint16]*udpbatch.Sender
	secure secureServers
	turn   map[netip.Addr]netip.Addr // TURN servers that we speak to, and our own address on the way there
}

// SocketOptions say what the sockets of one connection have from its engine, and whom they tell.
type SocketOptions struct {
	Net     transport.Net
	UDP     *UDPSocket   // nil on a virtual network
	Host    *HostNetwork // nil likewise
	Roots   *x509.CertPool
	Proxy   func(addr string) (*url.URL, error)
	Log     logging.LoggerFactory
	Guard   *contain.Guard
	Refused func() // a TURN server no longer keeps what it has given us
}

// NewSockets is the network of one connection.
func NewSockets(o SocketOptions) *Sockets {
	ctx, cancel := context.WithCancel(context.Background())
	return &Sockets{
		Net: o.Net, UDP: o.UDP, host: o.Host, roots: o.Roots, proxy: o.Proxy, log: o.Log, guard: o.Guard,
		refused: o.Refused,
		ctx:     ctx, Close: cancel, byPort: map[uint16]*udpbatch.Sender{}, turn: map[netip.Addr]netip.Addr{},
	}
}

func (s *Sockets) off(network string) bool { return s.host != nil && s.host.Off(network) }

// ListenUDP implements transport.Net.
func (s *Sockets) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	if s.off(network) {
		return nil, errFamily
	}
	conn, err := s.Net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*net.UDPConn); ok && s.UDP != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byPort[c.LocalAddr().(*net.UDPAddr).AddrPort().Port()] = s.UDP.Out.For(c)
	}
	return conn, nil
}

// Straight gives the socket where a path begins and the address where it ends, if it is plain UDP from here to there;
// else nil.
func (s *Sockets) Straight(pair *webrtc.ICECandidatePair) (*udpbatch.Sender, netip.AddrPort) {
	l, r := pair.Local, pair.Remote
	addr, err := netip.ParseAddr(r.Address)
	if err != nil || addr.Zone() != "" || l.Protocol != webrtc.ICEProtocolUDP || r.Protocol != webrtc.ICEProtocolUDP {
		return nil, netip.AddrPort{}
	}
	to := netip.AddrPortFrom(addr, r.Port)
	switch l.Typ {
	case webrtc.ICECandidateTypeHost:
		if s.UDP == nil {
			return nil, to
		}
		return s.UDP.Out, to
	case webrtc.ICECandidateTypeSrflx:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.byPort[l.RelatedPort], to
	}
	return nil, netip.AddrPort{}
}

// OpenOwn gives the connection a UDP socket of its own. It must be closed, after the peer connection.
func (s *Sockets) OpenOwn() error {
	if s.UDP == nil {
		return nil
	}
	udp, err := ListenUDP(0, ownBuffer, s.host, s.log)
	if err != nil {
		return err
	}
	s.UDP, s.own = udp, true
	return nil
}

// ownBuffer is for what one connection receives: a key frame of 2 MB.
const ownBuffer = 2 << 20

// CloseOwn closes what openOwn has opened.
func (s *Sockets) CloseOwn() {
	if s.own {
		_ = s.UDP.Close()
	}
}
