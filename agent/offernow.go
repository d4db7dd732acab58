package agent

import (
	"context"
	"fmt"
	"regexp"
	"sync"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// asked is an offer that somebody wants to be made now.
type asked struct {
	client string
	begun  chan error // 1 slot
}

// clientID is what the service takes for one (KVS dev guide, ConnectAsViewer).
var clientID = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,256}$`)

// Offer makes an offer to a client of a master channel, once: a client that does not answer in limits.setup_timeout is given up. The error is a
// *status.Problem.
func (a *Agent) Offer(ctx context.Context, name, client string) error {
	if !clientID.MatchString(client) {
		return &status.Problem{Status: 400, Text: "that is no client id", Hint: "letters, digits, _ . and -, at most 256 characters"}
	}
	a.mu.Lock()
	ch := a.channels[name]
	a.mu.Unlock()
	switch {
	case ch == nil:
		return &status.Problem{Status: 404, Text: fmt.Sprintf("there is no channel %q", name)}
	case ch.cfg.Role != config.Master:
		return &status.Problem{Status: 409, Text: "this agent is a viewer of that channel, and offers to its master alone"}
	case ch.stores():
		return &status.Problem{Status: 409, Text: "this channel stores its pictures, and takes no viewers", Hint: "storage: off serves viewers again"}
	}
	if c := ch.client.Report(); c.State != signaling.Online {
		return &status.Problem{Status: 503, Text: "the channel is not connected", Hint: text(c.Err)}
	}
	want := asked{client: client, begun: make(chan error, 1)}
	gone := &status.Problem{Status: 503, Text: "the channel is stopping"}
	select {
	case ch.asked <- want:
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
func (ch *channel) offerNow(ctx context.Context, wg *sync.WaitGroup, want asked) {
	reason := ch.full()
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
