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

// NetworkChanged says that this host has other addresses or another way out, or that signals about that may have been
// lost. A connection whose route is still the same does not notice.
//
// The shared socket is bound to no address, so what goes straight through it takes the new route at once, and a remote
// that lets packets in from there answers. All others need to be told: of the new addresses, to which they can try
// again, and, when our offers are what they answer, by an offer to restart ICE. A relay knows us by our old address
// alone.
func (c *Conn) NetworkChanged() { c.wake.add(networkChanged) }

// hostRoute is how packets leave for the remote now.
func (l *link) hostRoute(e *Engine) hostRoute {
	pair := l.pair()
	if pair == nil || e.host == nil {
		return hostRoute{}
	}
	if pair.Local.Typ == webrtc.ICECandidateTypeRelay {
		return hostRoute{relay: true}
	}
	to, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return hostRoute{}
	}
	return hostRoute{to: to, source: transport.WayTo(to)}
}

// onNetworkChange looks whether the change is one for this connection.
func (c *Conn) onNetworkChange(ctx context.Context) error {
	l := c.current()
	if l == nil || c.o.Engine.host == nil {
		return nil
	}
	c.recovery.changed = time.Now()
	if c.negotiation.pending != nil {
		return c.restart()
	}
	now := l.hostRoute(c.o.Engine)
	same, open := now == c.recovery.route, now.source.IsValid()
	if now.relay {
		same, open = l.sockets.SameRoutes()
	}
	if !open || same && c.progress.is(Connected) {
		return nil // nothing gets out, or nothing has happened
	}
	return c.reroute(ctx)
}

// reroute looks for another path. A direct one may heal by itself, or with the addresses that the remote is told now;
// to restart ICE is to give it up.
func (c *Conn) reroute(ctx context.Context) error {
	ours, theirs := c.current().relayed()
	c.o.Log.Info("the network changed under this session", "our_relay", ours, "their_relay", theirs)
	c.announce(ctx)
	switch {
	case ours:
		return c.migrateRelay(ctx, rerouteDeadline, errRelayLost)
	case c.progress.offeredByUs() && !c.progress.is(Connected):
		return c.restart()
	}
	c.mayHeal()
	return nil
}

// mayHeal gives a path that may be broken the time to heal, before ICE is restarted, when that is for us to do. A
// remote that is long since connected and tells another address of its own asks us to try that, too.
func (c *Conn) mayHeal() {
	if !c.progress.offeredByUs() || !c.progress.wasConnected() || c.negotiation.pending != nil ||
		!c.recovery.mayHeal(time.Now()) {
		return
	}
	wait := healingWait
	if c.o.Receive {
		wait = healingMedia
	}
	c.recovery.heal(time.Now(), wait, c.current().activity(c.o.Receive))
}

// Pion gathers candidates when ICE begins and never again. But checks come in through the shared socket and are known
// by their user name, whichever address they were sent to: so a candidate that Pion knows nothing of works as well as
// its own.

const (
	announced    = 16 // addresses at most
	mappedWithin = 3 * time.Second
)

// announce tells the remote all ways into the shared socket: the addresses of this host, and those that STUN servers
// see.
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
			if cand, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: n.Addr().String(),
				Port: port, Component: 1}); err == nil {
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
				Network: "udp", Address: at.Addr().String(), Port: int(at.Port()), Component: 1, RelAddr: "0.0.0.0",
				RelPort: port,
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
			if err == nil && u.Proto == stun.ProtoTypeUDP &&
				(u.Scheme == stun.SchemeTypeSTUN || u.Scheme == stun.SchemeTypeTURN) {
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
