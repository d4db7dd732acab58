package agent

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
	"golang.org/x/time/rate"
)

// offersClients is the number of clients remembered before those with a full bucket are forgotten.
const offersClients = 256

// offerLimit limits how many offers are taken, from each client and from all together. An offer costs a connection, and
// the service lets ten viewers send fifty per second.
type offerLimit struct {
	limits  config.OfferLimits
	all     *rate.Limiter
	clients map[string]*rate.Limiter
}

// take counts an offer. It returns why the offer is not taken, and how long its client has to wait: an owner who
// reloads a page again and again gets his picture a moment later.
func (l *offerLimit) take(client string, now time.Time) (reason string, wait time.Duration) {
	if l.all == nil {
		l.all, l.clients = rate.NewLimiter(rate.Limit(l.limits.PerSecond), l.limits.Burst), map[string]*rate.Limiter{}
	}
	c := l.clients[client]
	if c == nil {
		c = rate.NewLimiter(rate.Every(l.limits.ClientEvery), l.limits.ClientBurst)
	}
	if tokens := c.TokensAt(now); tokens < 1 {
		return "too many offers from this client", time.Duration((1 - tokens) * float64(l.limits.ClientEvery))
	}
	if !l.all.AllowN(now, 1) {
		return "too many offers from all clients together", 0
	}
	c.AllowN(now, 1)
	if l.clients[client] == nil {
		l.tidy(now)
		l.clients[client] = c
	}
	return "", 0
}

// set changes the limits. Clients keep what they have used up.
func (l *offerLimit) set(limits config.OfferLimits) {
	l.limits = limits
	if l.all == nil {
		return
	}
	l.all.SetLimit(rate.Limit(limits.PerSecond))
	l.all.SetBurst(limits.Burst)
	for _, c := range l.clients {
		c.SetLimit(rate.Every(limits.ClientEvery))
		c.SetBurst(limits.ClientBurst)
	}
}

// tidy forgets clients whose bucket is full: they are no different from new ones.
func (l *offerLimit) tidy(now time.Time) {
	if len(l.clients) < offersClients {
		return
	}
	for id, c := range l.clients {
		if c.TokensAt(now) >= float64(l.limits.ClientBurst) {
			delete(l.clients, id)
		}
	}
}

// heldOffer is the newest offer of a client that offers too often, or that comes while too many connect. It is taken
// once the client may offer again, or when there is room.
type heldOffer struct {
	offer   peer.Offer
	timer   *time.Timer
	waiting time.Time // since when it waits for room, already counted; zero: it does not
}

const (
	roomWithin = 3 * time.Second // connecting takes less than a second for most; then an offer is refused
	roomRetry  = 100 * time.Millisecond
)

// hold keeps an offer for a while, in place of an older one from the same client.
func (ch *channel) hold(ctx context.Context, client string, o peer.Offer, wait time.Duration) {
	h, ok := ch.held[client]
	switch {
	case ok:
		h.timer.Stop()
		ch.early.drop(client, h.offer.SDP)
	case len(ch.held) >= earlyClients:
		ch.ignore("offer ignored", "from", client, "err", "too many offers from too many clients")
		return
	}
	ch.held[client] = heldOffer{offer: o, timer: time.AfterFunc(wait, func() {
		select {
		case ch.ripe <- client:
		case <-ctx.Done():
		}
	})}
}

// holdForRoom keeps an offer that comes while too many sessions connect, which waits since then. It reports false when
// that has taken too long.
func (ch *channel) holdForRoom(ctx context.Context, client string, o peer.Offer, since time.Time) bool {
	now := time.Now()
	if since.IsZero() {
		since = now
	}
	if now.Sub(since) >= roomWithin || len(ch.held) >= earlyClients {
		return false
	}
	ch.hold(ctx, client, o, roomRetry)
	h := ch.held[client]
	h.waiting = since
	ch.held[client] = h
	return true
}

// dropOffer forgets the offer that is held of a client, and the candidates that came for it: nobody will take them.
func (ch *channel) dropOffer(client string) {
	h, ok := ch.held[client]
	if !ok {
		return
	}
	h.timer.Stop()
	delete(ch.held, client)
	ch.early.take(client, "")
}

func (ch *channel) dropHeld() {
	for _, h := range ch.held {
		h.timer.Stop()
	}
}
