package peer

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"
)

// sockets is the host's network as one connection sees it. It knows the sockets that ICE has opened, besides the shared one, for server reflexive candidates.
type sockets struct {
	transport.Net
	shared *udpbatch.Sender

	mu     sync.Mutex // guards byPort
	byPort map[uint16]*udpbatch.Sender
}

func newSockets(shared *udpbatch.Sender) (*sockets, error) {
	host, err := stdnet.NewNet() // anew for each connection: it reads the interfaces once
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	return &sockets{Net: host, shared: shared, byPort: map[uint16]*udpbatch.Sender{}}, nil
}

// ListenUDP implements transport.Net.
func (s *sockets) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := s.Net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*net.UDPConn); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byPort[c.LocalAddr().(*net.UDPAddr).AddrPort().Port()] = s.shared.For(c)
	}
	return conn, nil
}

// straight gives the socket where a path begins and the address where it ends, if it is plain UDP from here to there; else nil.
func (s *sockets) straight(pair *webrtc.ICECandidatePair) (*udpbatch.Sender, netip.AddrPort) {
	l, r := pair.Local, pair.Remote
	addr, err := netip.ParseAddr(r.Address)
	if err != nil || addr.Zone() != "" || l.Protocol != webrtc.ICEProtocolUDP || r.Protocol != webrtc.ICEProtocolUDP {
		return nil, netip.AddrPort{}
	}
	to := netip.AddrPortFrom(addr, r.Port)
	switch l.Typ {
	case webrtc.ICECandidateTypeHost:
		return s.shared, to
	case webrtc.ICECandidateTypeSrflx:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.byPort[l.RelatedPort], to
	}
	return nil, netip.AddrPort{}
}
