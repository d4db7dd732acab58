package agent

import (
	"context"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// refusalsMost is how many refused viewers of a channel may hear the reason over a data channel at the same time. The
// others get it in the answer alone.
const refusalsMost = 4

// refusal is a connection that carries nothing but a reason. It does not count as a session or against max_viewers.
type refusal struct {
	client string
	conn   *peer.Conn
	stop   context.CancelFunc
}

// refuse answers an offer with the reason why this viewer gets nothing. The viewer is told the code; the reason is for
// the log.
func (ch *channel) refuse(ctx context.Context, wg *sync.WaitGroup, from string, o peer.Offer, code peer.Reason,
	reason string) {
	ch.log.Warn("viewer refused", "client", from, "reason", reason)
	if before := ch.refusals[from]; before != nil {
		before.stop()
	}
	data := peer.DataAlone(o.SDP) && ch.now().network.crashes.Safe() == ""
	if data && len(ch.refusals) < refusalsMost && ch.tell(ctx, wg, from, o, code) {
		return
	}
	if err := ch.send(peer.Answer{SDP: peer.Refusal(o.SDP, code)}, ch.running, from, ""); err != nil {
		ch.log.Warn("refusal not sent", "client", from, "err", err)
	}
}

// turnDown answers an offer that cannot be read, so that whoever made it does not wait for nothing.
func (ch *channel) turnDown(from, offer string) {
	if reason, wait := ch.offerLimit.take(from, time.Now()); reason != "" || wait > 0 {
		return
	}
	if err := ch.send(peer.Answer{SDP: peer.Refusal(offer, peer.ReasonBadOffer)}, ch.running, from, ""); err != nil {
		ch.log.Warn("refusal not sent", "client", from, "err", err)
	}
}

// tell begins a connection that carries the reason, and reports whether it could.
func (ch *channel) tell(ctx context.Context, wg *sync.WaitGroup, from string, o peer.Offer, code peer.Reason) bool {
	network, via := ch.now().network, ch.running
	conn, err := peer.New(peer.Config{
		Engine: network.engine, Refuse: code, Certificates: &ch.certs,
		RelayOnly: network.webrtc.ICETransportPolicy == "relay", Log: ch.log.With("client", from),
		Send: func(s peer.Signal) {
			if err := ch.send(s, via, from, ""); err != nil {
				ch.log.Warn("refusal not sent", "client", from, "err", err)
			}
		},
	})
	if err != nil {
		ch.log.Error("refusal not made", "client", from, "err", err)
		return false
	}
	refusalCtx, stop := context.WithCancel(ctx)
	r := &refusal{client: from, conn: conn, stop: stop}
	for _, signal := range append([]peer.Signal{o}, ch.early.take(from, o.SDP)...) {
		conn.Handle(signal)
	}
	ch.refusals[from] = r
	wg.Go(func() {
		defer stop()
		_ = conn.Run(refusalCtx) // the error says that it was refused
		select {
		case ch.told <- r:
		case <-ctx.Done():
		}
	})
	return true
}
