package agent

import (
	"context"
	"sync"
	"time"
)

// Offers are made again and again, because an undelivered one is overwritten by a newer one and is gone after the channel's message TTL.
const (
	offerFirst = 2 * time.Second
	offerMost  = time.Minute
)

// offering is our wish to be connected to one client. There is a timer while there is no session.
type offering struct {
	failures int // sessions in a row that never connected
	timer    *time.Timer
}

// startOffering offers to everybody we want and have no session with.
func (ch *channel) startOffering(ctx context.Context) {
	if ch.stores() { // the service makes the offers
		return
	}
	for id, o := range ch.offers {
		if ch.sessions[id] == nil {
			ch.schedule(ctx, id, o, 0)
		}
	}
}

func (ch *channel) stopOffering() {
	for _, o := range ch.offers {
		if o.timer != nil {
			o.timer.Stop()
		}
	}
}

func (ch *channel) schedule(ctx context.Context, id string, o *offering, wait time.Duration) {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.timer = time.AfterFunc(wait, func() {
		select {
		case ch.due <- id:
		case <-ctx.Done():
		}
	})
}

func (ch *channel) offer(ctx context.Context, wg *sync.WaitGroup, id string) {
	if ch.sessions[id] != nil || ch.stores() {
		return // it came to us meanwhile
	}
	if reason := ch.full(); reason != "" {
		ch.log.Warn("no offer made", "client", clientName(id), "reason", reason)
		ch.schedule(ctx, id, ch.offers[id], offerMost)
		return
	}
	ch.begin(ctx, wg, id, true)
}

// offerAgain comes back to a client whose session is over.
func (ch *channel) offerAgain(ctx context.Context, s *session) {
	o := ch.offers[s.client]
	if o == nil || ch.sessions[s.client] != nil {
		return
	}
	if s.conn.Report().Stages.Connected != 0 {
		o.failures = 0
	}
	o.failures++
	wait := jittered(offerFirst, offerMost, o.failures)
	ch.log.Info("offering again", "client", clientName(s.client), "in", wait.Round(100*time.Millisecond))
	ch.schedule(ctx, s.client, o, wait)
}
