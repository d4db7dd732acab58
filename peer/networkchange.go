package peer

import (
	"context"
	"net/netip"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// NetworkChanged says that this host has other addresses or another way out, or that signals about that may have been lost. A connection
// whose route is still the same does not notice.
//
// The shared socket is bound to no address, so what goes straight through it takes the new route at once, and a remote that lets packets in
// from there answers. All others need to be told: of the new addresses, to which they can try again, and, when our offers are what they
// answer, by an offer to restart ICE. A relay knows us by our old address alone.
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

// reroute looks for another path. A direct one may heal by itself, or with the addresses that the remote is told now; to restart ICE is to
// give it up.
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

// mayHeal gives a path that may be broken the time to heal, before ICE is restarted, when that is for us to do. A remote that is long since
// connected and tells another address of its own asks us to try that, too.
func (c *Conn) mayHeal() {
	if !c.progress.offeredByUs() || !c.progress.wasConnected() || c.negotiation.pending != nil || !c.recovery.mayHeal(time.Now()) {
		return
	}
	wait := healingWait
	if c.o.Receive {
		wait = healingMedia
	}
	c.recovery.heal(time.Now(), wait, c.current().activity(c.o.Receive))
}
