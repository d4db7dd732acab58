package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// Perfect negotiation (W3C WebRTC 1.0 section 10.7) without a rollback, which Pion has not: an offer that we make during a session is
// handed to Pion only together with its answer. Until then it is ours alone, and when an offer of the remote crosses it, the polite side
// forgets its own.

// Restart asks for an ICE restart by an offer of ours, such as after the host's addresses have changed. A remote that takes no offers
// does not answer; media goes on meanwhile if it can.
func (c *Conn) Restart() {
	select {
	case c.restarts <- struct{}{}:
	default:
	}
}

// Move is for a connection that goes through a relay which is about to shut down: it takes fresh ICE servers for a restart of ICE. We offer that when
// our offers are what the remote answers; else the remote may, which most likely has been told the same, and until then the old path is left
// alone: many viewers take no offers. A remote that does not take part in moveWithin is given up, so that it comes again.
func (c *Conn) Move() {
	select {
	case c.moves <- struct{}{}:
	default:
	}
}

const moveWithin = 5 * time.Second

// Why a connection is over that may still have worked for a moment.
var (
	errNotMoved = errors.New("the relay is about to shut down, and the remote took no part in a restart of ice")
	errRefused  = errors.New("the relay no longer takes our password, and the remote took no part in a restart of ice")
)

// move takes fresh servers for a restart of ICE, and offers that when our offers are what the remote answers. Without new ICE credentials of the remote
// within a time, the connection ends with why.
func (c *Conn) move(ctx context.Context, within time.Duration, why error) error {
	pc := c.connection()
	if pc == nil || c.o.ICEServers == nil {
		return nil
	}
	if err := c.freshServers(ctx, pc); err != nil {
		return err
	}
	c.unmoved.Reset(within)
	c.unmovedWhy = why
	if !c.Report().Offered {
		c.askRestart()
		return nil
	}
	return c.restart()
}

// freshServers asks for servers as at the beginning. They are for the next restart of ICE.
func (c *Conn) freshServers(ctx context.Context, pc *webrtc.PeerConnection) error {
	if c.o.ICEServers == nil {
		return nil
	}
	conf := pc.GetConfiguration()
	conf.ICEServers = c.sockets.servers(c.o.ICEServers(ctx))
	if err := pc.SetConfiguration(conf); err != nil {
		return fmt.Errorf("new ice servers: %w", err)
	}
	return nil
}

// checkMoved ends a connection that has not moved. One that the network was changed under may have come back without.
func (c *Conn) checkMoved() error {
	r := c.Report()
	if c.unmovedWhy == errRelayLost && c.heardNow() != c.heard || r.State == Connected && r.Local != relay && r.Remote != relay {
		return nil
	}
	return c.unmovedWhy
}

const relay = "relay" // a type of candidate, in a Report

// relayRefused is called from Pion's goroutines when a TURN server gives no more time to what it has given us.
func (c *Conn) relayRefused() {
	select {
	case c.refusals <- struct{}{}:
	default:
	}
}

// onRefusal moves a connection that goes through the relay before that goes away, which is some minutes later: KVS's passwords end after five.
func (c *Conn) onRefusal(ctx context.Context) error {
	if c.Report().Local != relay {
		return nil
	}
	c.o.Log.Info("the relay no longer takes our password")
	return c.move(ctx, moveWithin, errRefused)
}

// begWithin is how long a remote that is asked for a restart over its data channel has for that, before we offer one.
const begWithin = time.Second

// restart asks the remote for a restart of ICE, if it is the one that offers and has a data channel that still works, and else offers one.
func (c *Conn) restart() error {
	if c.connection() != nil && !c.failing && !c.Report().Offered && c.askRestart() {
		c.begged.Reset(begWithin)
		return nil
	}
	return c.offerRestart()
}

// offerRestart offers a restart of ICE, once at a time. Pion gives up the old path with that.
func (c *Conn) offerRestart() error {
	pc := c.connection()
	if pc == nil || pc.RemoteDescription() == nil || pc.SignalingState() != webrtc.SignalingStateStable {
		return nil
	}
	if c.pending != nil {
		c.out.description(Offer{SDP: c.directed(c.pending.SDP)})
		return nil
	}
	if _, err := pc.CreateOffer(nil); err != nil {
		c.o.Log.Warn("no ice restart offered", "err", err) // found out before the old path is given up
		return nil
	}
	c.out.hold()
	desc, err := pc.CreateOffer(&webrtc.OfferOptions{
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}, ICERestart: true,
	})
	if err != nil {
		return fmt.Errorf("create offer for a restart of ice: %w", err)
	}
	c.pending, c.healed = &desc, time.Now()
	c.o.Log.Info("ice restart offered")
	c.out.description(Offer{SDP: c.directed(desc.SDP)})
	return nil
}

// askRestart asks the remote for an offer of its own, over its data channel: who made the first offer is who is sure to take part in a restart.
func (c *Conn) askRestart() bool {
	c.mu.Lock()
	in := c.inbound
	c.mu.Unlock()
	if in == nil || !in.say(notice{Action: tellRestart}) {
		return false
	}
	c.o.Log.Info("ice restart asked for over the data channel")
	return true
}

// cross decides what becomes of an offer that comes while ours is under way: false is nothing.
func (c *Conn) cross(pc *webrtc.PeerConnection, o Offer) (take bool) {
	if !c.o.Polite {
		return false
	}
	if c.pending != nil {
		c.pending = nil
		c.asking.forget(true)
		return true
	}
	// Our first offer: nothing has come of it yet, and the connection starts over as the one that answers.
	c.closeConnection(pc)
	c.setConnection(nil)
	for _, x := range c.senders() {
		c.retire(x)
	}
	c.early = c.keepFor(identityOf(o.SDP))
	return true
}

// keepFor gives the early candidates that may belong to a remote.
func (c *Conn) keepFor(id identity) (kept []Candidate) {
	for _, cand := range c.early {
		if u := ufragOf(cand); u == "" || id.has(u) {
			kept = append(kept, cand)
		}
	}
	return kept
}

// underWay says whether an offer of ours waits for its answer.
func (c *Conn) underWay(pc *webrtc.PeerConnection) bool {
	return c.pending != nil || pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
}

// applyPending makes the offer that the answer belongs to our description.
func (c *Conn) applyPending(pc *webrtc.PeerConnection) error {
	if c.pending == nil {
		return nil
	}
	desc := *c.pending
	c.pending = nil
	if c.asking.under {
		c.asking.forget(false)
	}
	if err := pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local offer: %w", err)
	}
	return nil
}

// alive gives a connection that has failed the time to come back, once its remote has described itself anew.
func (c *Conn) alive() {
	if c.failing {
		c.failed.Reset(c.o.SetupTimeout)
	}
}
