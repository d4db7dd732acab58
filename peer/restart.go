package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// Restart asks for an ICE restart by an offer of ours, such as after the host's addresses have changed. A remote that
// takes no offers does not answer; media goes on meanwhile if it can.
func (c *Conn) Restart() { c.wake.add(restartWanted) }

// MigrateRelay is for a connection whose path goes through a relay that is about to shut down: it takes fresh ICE
// servers for a restart of ICE. We offer that when our offers are what the remote answers. Otherwise the remote may,
// which most likely has been told the same, and the old path is left alone until then: many viewers take no offers. A
// remote that does not take part in migrateDeadline is given up, so that it comes again.
func (c *Conn) MigrateRelay() { c.wake.add(migrateWanted) }

// migrateRelay takes fresh servers for a restart of ICE. Without new ICE credentials of the remote within a time, the
// connection ends with why.
func (c *Conn) migrateRelay(ctx context.Context, within time.Duration, why error) error {
	l := c.current()
	if l == nil || c.o.ICEServers == nil {
		return nil
	}
	if ours, _ := l.relayed(); why == errPassword && !ours {
		return nil // of a relay that this connection does not go through
	}
	c.o.Log.Info("this session leaves its relay", "why", why)
	if err := l.freshServers(ctx, c.o.ICEServers); err != nil {
		return err
	}
	c.recovery.migrate(time.Now(), within, why, l.activity(c.o.Receive))
	if !c.progress.offeredByUs() {
		c.current().askRestart(c.o.Log)
		return nil
	}
	return c.offerRestart()
}

// restart asks the remote for a restart of ICE, if it is the one that offers and has a data channel that still works,
// and else offers one.
func (c *Conn) restart() error {
	if c.recovery.condition != failed && !c.progress.offeredByUs() && c.current().askRestart(c.o.Log) {
		c.recovery.awaitOffer(time.Now())
		return nil
	}
	return c.offerRestart()
}

// offerRestart offers a restart of ICE, once at a time. Pion gives up the old path with that.
func (c *Conn) offerRestart() error {
	l, n := c.current(), &c.negotiation
	if !l.canOffer() {
		return nil
	}
	if n.pending != nil {
		if n.pending.purpose != newICE {
			n.enqueue(newICE)
		}
		c.out.description(Offer{SDP: n.told(n.pending.desc.SDP, false)})
		return nil
	}
	if _, err := l.pc.CreateOffer(nil); err != nil {
		c.o.Log.Warn("no ice restart offered", "err", err) // found out before the old path is given up
		return nil
	}
	c.out.hold()
	desc, err := l.pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: trickle, ICERestart: true})
	if err != nil {
		return fmt.Errorf("create offer for a restart of ice: %w", err)
	}
	n.pending = &pendingOffer{desc, newICE}
	c.recovery.onRestart(time.Now())
	c.o.Log.Info("ice restart offered")
	c.out.description(Offer{SDP: c.negotiation.told(desc.SDP, false)})
	return nil
}

// askRestart asks the remote for an offer of its own, over its data channel: who made the first offer is sure to take
// part in a restart.
func (l *link) askRestart(log *slog.Logger) bool {
	if l == nil || !l.inbound.Say(transport.Notice{Action: noticeRestart}) {
		return false
	}
	log.Info("ice restart asked for over the data channel")
	return true
}

// ErrAnother is why a connection is over whose remote has been started anew: it answers, and with another certificate.
// A new offer reaches it at once.
var ErrAnother = errors.New("the remote has started anew: it answers with another certificate")

// ask makes an offer in mid-session that changes nothing: its answer says whether the remote is there and the same. The
// old path may heal meanwhile, which a restart of ICE would give up.
func ask(c *Conn) error {
	l, n := c.current(), &c.negotiation
	if n.pending != nil {
		c.out.description(Offer{SDP: n.told(n.pending.desc.SDP, false)})
		return nil
	}
	if !l.canOffer() {
		return nil
	}
	desc, err := l.pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return fmt.Errorf("create offer for a remote that is not heard: %w", err)
	}
	n.pending = &pendingOffer{desc, areYouThere}
	c.o.Log.Info("the remote is not heard, and is asked over signaling")
	c.out.description(Offer{SDP: c.negotiation.told(desc.SDP, false)})
	return nil
}
