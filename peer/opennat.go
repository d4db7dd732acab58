package peer

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Pion gathers candidates when ICE begins and never again. But checks come in through the shared socket and are known by their user name, whichever
// address they were sent to: so a candidate that Pion knows nothing of works as well as its own.

const (
	announced    = 16 // addresses at most
	mappedWithin = 3 * time.Second
)

// announce tells the remote all ways into the shared socket: the addresses of this host, and those that STUN servers see.
func (c *Conn) announce(ctx context.Context) {
	e, l := c.o.Engine, c.current()
	if c.o.RelayOnly || len(e.o.NAT1To1) > 0 || l.pc.RemoteDescription() == nil {
		return
	}
	udp := l.sockets.UDP
	port := udp.Port()
	networks := e.host.Networks()
	if !c.o.NoHost {
		for _, n := range networks[:min(len(networks), announced)] {
			if n.Addr().IsLinkLocalUnicast() {
				continue
			}
			if cand, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: n.Addr().String(), Port: port, Component: 1}); err == nil {
				c.out.ownCandidate("candidate:" + cand.Marshal())
			}
		}
	}
	servers := stunServers(l.pc.GetConfiguration().ICEServers)
	c.outgoing.work.Go(func() {
		defer c.guard.Contain("announcement")
		ctx, cancel := context.WithTimeout(ctx, mappedWithin)
		defer cancel()
		seen := map[netip.AddrPort]bool{}
		for _, n := range networks {
			seen[netip.AddrPortFrom(n.Addr(), uint16(port))] = true // no NAT
		}
		for _, server := range servers {
			at, ok := e.mapped(ctx, udp, server)
			if !ok || seen[at] || len(seen) > 2*announced {
				continue
			}
			seen[at] = true
			if cand, err := ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{
				Network: "udp", Address: at.Addr().String(), Port: int(at.Port()), Component: 1, RelAddr: "0.0.0.0", RelPort: port,
			}); err == nil {
				c.out.ownCandidate("candidate:" + cand.Marshal())
			}
		}
		udp.OpenNAT(ctx, l.pair())
	})
}

// stunServers are the servers over UDP that can say how we look from outside, as HOST:PORT.
func stunServers(list []webrtc.ICEServer) (out []string) {
	for _, s := range list {
		for _, raw := range s.URLs {
			u, err := stun.ParseURI(raw)
			if err == nil && u.Proto == stun.ProtoTypeUDP && (u.Scheme == stun.SchemeTypeSTUN || u.Scheme == stun.SchemeTypeTURN) {
				out = append(out, net.JoinHostPort(u.Host, strconv.Itoa(u.Port)))
			}
		}
	}
	return out
}

// mapped asks a STUN server where a socket is to be found from outside.
func (e *Engine) mapped(ctx context.Context, udp *transport.UDPSocket, server string) (netip.AddrPort, bool) {
	addr, err := e.net.ResolveUDPAddr("udp", server)
	if err != nil || e.off("udp4") && addr.IP.To4() != nil || e.off("udp6") && addr.IP.To4() == nil {
		return netip.AddrPort{}, false
	}
	x, err := udp.Mux.GetXORMappedAddrContext(ctx, addr, mappedWithin)
	if err != nil {
		return netip.AddrPort{}, false
	}
	a, ok := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(a.Unmap(), uint16(x.Port)), ok
}
