package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/internal/httpproxy"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// turnWithin is how long reaching a TURN server over TCP, TLS or DTLS may take.
const turnWithin = 5 * time.Second

// secureServers are the TURN servers that are reached over TLS and DTLS. Pion can encrypt by itself, but trusts the
// system's authorities only, and not through a proxy.
type secureServers struct {
	tls   map[string]string         // by HOST:PORT, the name that the certificate must have
	names map[string]string         // likewise, over DTLS
	dtls  map[netip.AddrPort]string // the same by address, as they are resolved
}

// Servers are ICE servers for Pion. Those over DTLS are plain UDP ones to it: turnSocket encrypts.
func (s *Sockets) Servers(list []ICEServer) (out []webrtc.ICEServer) {
	secure := secureServers{map[string]string{}, map[string]string{}, map[netip.AddrPort]string{}}
	for _, server := range list {
		to := webrtc.ICEServer{Username: server.Username, Credential: server.Credential}
		for _, raw := range server.URLs {
			if u, err := stun.ParseURI(raw); err == nil && u.Scheme == stun.SchemeTypeTURNS && s.UDP != nil {
				at := net.JoinHostPort(u.Host, fmt.Sprint(u.Port))
				if u.Proto == stun.ProtoTypeUDP {
					secure.names[at] = u.Host
					raw = "turn:" + at + "?transport=udp"
				} else {
					secure.tls[at] = u.Host
				}
			}
			to.URLs = append(to.URLs, raw)
		}
		out = append(out, to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secure = secure
	return out
}

// ResolveUDPAddr implements transport.Net. It remembers which addresses are of servers over DTLS.
func (s *Sockets) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	addr, err := s.Net.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.secure.names[address]; ok {
		s.secure.dtls[unmapped(addr.AddrPort())] = name
	}
	return addr, nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Dial reaches a TURN server over TCP, for Pion (proxy.Dialer): through the proxy, if there is one for it, and with
// TLS, if its URL says so.
func (s *Sockets) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, turnWithin)
	defer cancel()
	conn, err := s.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	name, secure := s.secure.tls[addr]
	s.mu.Unlock()
	if secure {
		c := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: s.roots})
		if err := c.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("tls: %w", err)
		}
		conn = c
	}
	if to, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		s.reached(to.AddrPort().Addr())
	}
	return &turnStream{Conn: conn, refused: s.refused, guard: s.guard}, nil
}

func (s *Sockets) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.off(network) {
		return nil, errFamily
	}
	if s.proxy != nil {
		proxy, err := s.proxy(addr)
		if err != nil {
			return nil, fmt.Errorf("proxy for %s: %w", addr, err)
		}
		switch {
		case proxy != nil && strings.HasSuffix(network, "6"):
			return nil, fmt.Errorf("%s is reached through the proxy once, not once for IPv4 and once for IPv6", addr)
		case proxy != nil:
			return httpproxy.Dial(ctx, proxy, s.roots, addr)
		}
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// reached notes our own address on the way to a TURN server. The server knows us by it.
func (s *Sockets) reached(server netip.Addr) {
	server = server.Unmap()
	ours := WayTo(server)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.turn[server]; !known {
		s.turn[server] = ours
	}
}

// WayTo gives the address of ours that packets to an address leave from; it is invalid when there is no way. Nothing is
// sent.
func WayTo(a netip.Addr) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// refusal says whether a message of a TURN server means that it no longer keeps what it has given us: the password has
// ended (401), or it does not know us (437, 441). A stale nonce (438) is renewed by Pion. The first Allocate is always
// refused.
func refusal(b []byte) bool {
	if !stun.IsMessage(b) || len(b) > maxTURNMessage {
		return false
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil || m.Type.Class != stun.ClassErrorResponse {
		return false
	}
	switch m.Type.Method {
	case stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind:
	default:
		return false
	}
	var code stun.ErrorCodeAttribute
	if code.GetFrom(m) != nil {
		return false
	}
	return code.Code == stun.CodeUnauthorized || code.Code == stun.CodeAllocMismatch ||
		code.Code == stun.CodeWrongCredentials
}

const maxTURNMessage = 2048

// SameRoutes says whether packets to all TURN servers leave from the address that they did at first, and whether any
// leave at all.
func (s *Sockets) SameRoutes() (same, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same = true
	for server, was := range s.turn {
		now := WayTo(server)
		same = same && now == was
		open = open || now.IsValid()
	}
	return same, open
}

// ICEServer is a STUN or TURN server: URLs such as "stun:host:port" or "turn:host:port?transport=udp" (RFC 7064, RFC
// 7065).
type ICEServer struct {
	URLs                 []string
	Username, Credential string
}

// LogValue hides the credential.
func (s ICEServer) LogValue() slog.Value { return slog.AnyValue(s.URLs) }
