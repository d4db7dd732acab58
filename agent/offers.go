package agent

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/outage"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// Offers are repeated: an undelivered one is replaced by a newer one and expires after the channel's message TTL.
const (
	offerFirst = 2 * time.Second
	offerMost  = time.Minute
)

// standingOffer is our wish to be connected to one client. Its timer runs while there is no session.
type standingOffer struct {
	failures int // consecutive sessions that never connected
	timer    *time.Timer
	outage   outage.Series // of sessions and of room for one, for the log
}

// startOffering offers to each wanted client that has no session.
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

// changeOffers brings the clients to which we offer in line with the settings. A session that there is goes on.
func (ch *channel) changeOffers(ctx context.Context) {
	wanted := map[string]*standingOffer{}
	for _, id := range ch.offerTo() {
		if wanted[id] = ch.offers[id]; wanted[id] == nil {
			wanted[id] = &standingOffer{}
		}
	}
	for id, o := range ch.offers {
		if wanted[id] == nil && o.timer != nil {
			o.timer.Stop()
		}
	}
	ch.offers = wanted
	if ch.now().client.Report().State == signaling.Online {
		ch.startOffering(ctx)
	}
}

func (ch *channel) schedule(ctx context.Context, id string, o *standingOffer, wait time.Duration) {
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
	if ch.sessions[id] != nil || ch.stores() || ch.offers[id] == nil {
		return // the client offered meanwhile, or is wanted no more
	}
	if _, reason := ch.full(); reason != "" {
		if ch.offers[id].outage.Failed(time.Now(), reason) {
			ch.log.Warn("no offer made", "client", clientName(id), "reason", reason)
		}
		ch.schedule(ctx, id, ch.offers[id], offerMost)
		return
	}
	ch.begin(ctx, wg, id, true)
}

// offerAgain schedules the next offer to a client whose session is over.
func (ch *channel) offerAgain(ctx context.Context, s *session) {
	o := ch.offers[s.client]
	if o == nil || ch.sessions[s.client] != nil {
		return
	}
	s.mu.Lock()
	anew := s.anew
	s.mu.Unlock()
	if s.conn.Report().Stages.Connected != 0 {
		o.failures = 0
		o.outage.Recovered(time.Now())
	}
	if anew { // it was connected, so this does not go round without end
		ch.schedule(ctx, s.client, o, 0)
		return
	}
	o.failures++
	wait := jittered(offerFirst, offerMost, o.failures)
	if o.outage.Failed(time.Now(), s.why()) {
		ch.log.Info("offering again", "client", clientName(s.client), "tries", o.failures,
			"wait", wait.Round(100*time.Millisecond))
	}
	ch.schedule(ctx, s.client, o, wait)
}

// offerRequest asks the channel's goroutine to make an offer now.
type offerRequest struct {
	client string
	begun  chan error // 1 slot
}

// clientID is the form that the service accepts (KVS dev guide, ConnectAsViewer).
var clientID = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,256}$`)

// Offer makes one offer to a client of a master channel. A client that does not answer within limits.setup_timeout is
// given up. The error is a *status.Problem.
func (a *Agent) Offer(ctx context.Context, name, client string) error {
	if !clientID.MatchString(client) {
		return &status.Problem{Status: 400, Text: "not a client id",
			Hint: "letters, digits, _ . and -, at most 256 characters"}
	}
	a.mu.Lock()
	ch := a.channels[name]
	a.mu.Unlock()
	switch {
	case ch == nil:
		return &status.Problem{Status: 404, Text: fmt.Sprintf("there is no channel %q", name)}
	case ch.now().cfg.Role != config.Master:
		return &status.Problem{Status: 409,
			Text: "this agent is a viewer of that channel, and offers to its master alone"}
	case ch.stores():
		return &status.Problem{Status: 409, Text: "this channel stores its pictures, and takes no viewers",
			Hint: "storage: off serves viewers again"}
	}
	if c := ch.now().client.Report(); c.State != signaling.Online {
		return &status.Problem{Status: 503, Text: "the channel is not connected", Hint: text(c.Err)}
	}
	want := offerRequest{client: client, begun: make(chan error, 1)}
	gone := &status.Problem{Status: 503, Text: "the channel is stopping"}
	select {
	case ch.requests <- want:
	case <-ch.done:
		return gone
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-want.begun:
		return err
	case <-ch.done:
		return gone
	}
}

// offerNow begins the session that was asked for.
func (ch *channel) offerNow(ctx context.Context, wg *sync.WaitGroup, want offerRequest) {
	_, reason := ch.full()
	switch {
	case ch.sessions[want.client] != nil:
		want.begun <- &status.Problem{Status: 409, Text: fmt.Sprintf("there is a session with %q", want.client)}
	case reason != "":
		want.begun <- &status.Problem{Status: 503, Text: reason}
	default:
		if o := ch.offers[want.client]; o != nil && o.timer != nil {
			o.timer.Stop()
		}
		ch.begin(ctx, wg, want.client, true)
		want.begun <- nil
	}
}
