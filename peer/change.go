package peer

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"
)

// NetworkChanged says that this host has other addresses or another way out, or that signals about that may have been lost. A connection whose way is
// still the same does not notice.
//
// The shared socket is bound to no address, so what goes straight through it goes on by the new way at once, and a remote that lets packets in from
// there answers. All others need to be told: of the new addresses, to which they can try again, and, when our offers are what they answer, by an
// offer to restart ICE. A relay knows us by our old address alone.
func (c *Conn) NetworkChanged() {
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

const (
	rerouteWithin = 15 * time.Second        // for signaling to come back, and for the remote to take part
	healsWithin   = 2500 * time.Millisecond // the time in which ICE asks and is answered once, and half a second
	mediaWithin   = time.Second             // the same for one that receives media
	changeLasts   = 30 * time.Second        // how long silence is put down to a change
)

var errRelayLost = errors.New("this host's network changed, the relay does not know it any more, and the remote took no part in a restart of ice")

// way is how packets leave for the remote.
type way struct {
	relay      bool
	to, source netip.Addr // the remote, and our address on the way there
}

// noteWay keeps in mind how packets leave, for when the network changes.
func (c *Conn) noteWay() { c.was = c.wayNow() }

func (c *Conn) wayNow() way {
	pc := c.connection()
	if pc == nil || c.o.Engine.host == nil {
		return way{}
	}
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return way{}
	}
	if pair.Local.Typ == webrtc.ICECandidateTypeRelay {
		return way{relay: true}
	}
	to, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return way{}
	}
	return way{to: to, source: wayTo(to)}
}

// onChange looks whether the change is one for this connection.
func (c *Conn) onChange(ctx context.Context) error {
	if c.connection() == nil || c.o.Engine.host == nil {
		return nil
	}
	c.changed = time.Now()
	if c.pending != nil {
		return c.restart()
	}
	now := c.wayNow()
	same, open := now == c.was, now.source.IsValid()
	if now.relay {
		same, open = c.sockets.sameWays()
	}
	if !open || same && c.Report().State == Connected {
		return nil // nothing gets out, or nothing has happened
	}
	return c.reroute(ctx)
}

// silent is for when the remote has not been heard for a while: after a change that may be the reason, though our own address is the same, such as with
// another gateway.
func (c *Conn) silent(ctx context.Context) error {
	if c.changed.IsZero() || time.Since(c.changed) > changeLasts {
		return nil
	}
	c.changed = time.Time{}
	return c.reroute(ctx)
}

// reroute looks for another path. A straight one may heal by itself, or with the addresses that the remote is told now; to restart ICE is to give it up.
func (c *Conn) reroute(ctx context.Context) error {
	r := c.Report()
	c.o.Log.Info("the network changed under this session", "local", r.Local, "remote", r.Remote)
	c.announce(ctx)
	switch {
	case r.Local == relay:
		c.heard = c.heardNow()
		return c.move(ctx, rerouteWithin, errRelayLost)
	case r.Offered && r.State != Connected:
		return c.restart()
	}
	c.mayHeal()
	return nil
}

// mayHeal gives a path that may be broken the time to heal, and then restarts ICE, when that is for us to do. It is called too when a remote that
// is long since connected tells another address of its own: it asks us to try that.
func (c *Conn) mayHeal() {
	r := c.Report()
	if c.failing || time.Since(c.healed) < changeLasts {
		return // an answer to a restart brings addresses, too
	}
	if r.Offered && r.Stages.Connected != 0 && c.pending == nil {
		c.heard = c.heardNow()
		wait := healsWithin
		if c.o.Receive {
			wait = mediaWithin
		}
		c.healing.Reset(wait)
	}
}

// checkHealed restarts ICE when the remote has not been heard since.
func (c *Conn) checkHealed() error {
	if c.heardNow() != c.heard {
		return nil
	}
	return c.restart()
}

// answered is how much has come on which path: answers, since what else comes may not know of us any more, and what we are here to receive.
type answered struct {
	path string
	n    uint64
}

func (c *Conn) heardNow() answered {
	pc := c.connection()
	if pc == nil {
		return answered{}
	}
	stats, _ := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	h := answered{stats.LocalCandidateID + stats.RemoteCandidateID, stats.ResponsesReceived}
	if c.o.Receive {
		h.n += uint64(stats.PacketsReceived)
	}
	return h
}

// sameWays says whether packets to all TURN servers leave from the address that they did at first, and whether any leave at all.
func (s *sockets) sameWays() (same, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same = true
	for server, was := range s.turn {
		now := wayTo(server)
		same = same && now == was
		open = open || now.IsValid()
	}
	return same, open
}
