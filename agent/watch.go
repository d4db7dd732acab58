package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// answerWithin is how long a page waits for the master's answer.
const answerWithin = 20 * time.Second

// Watch plays the viewer for a page that cannot speak to KVS itself. It sends the page's offer to the channel's master
// through the signaling service, and passes the answer and candidates to send. It ends with ctx, or when no answer
// comes. The page needs no AWS keys and never sees a pre-signed URL.
func (a *Agent) Watch(ctx context.Context, name, offer string, send func(status.Signal) error) error {
	ch, err := a.watchable(name)
	if err != nil {
		return err
	}
	id := "page-" + shortID()
	now := ch.now()
	client, err := now.network.client(signaling.Options{
		// A client of its own, beside the channel's.
		Channel: now.cfg.ChannelName, Role: signaling.Viewer, ClientID: id, Log: ch.log.With("viewer", id),
	})
	if err != nil {
		return err
	}
	w := &watcher{client: client, offer: offer, send: send, expect: now.client.Expect}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(answerWithin, func() {
		cancel(&status.Problem{Status: 504, Text: "the master did not answer",
			Hint: "is its camera running? the agent's log tells"})
	})
	defer timer.Stop()
	err = client.Run(ctx, func(e signaling.Event) {
		answered, err := w.on(e)
		if answered {
			timer.Stop()
		}
		if err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (a *Agent) watchable(name string) (*channel, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ch := a.channels[name]
	switch {
	case ch == nil:
		return nil, &status.Problem{Status: 404, Text: fmt.Sprintf("there is no channel %q", name)}
	case ch.now().cfg.Role != config.Master:
		return nil, &status.Problem{Status: 409, Text: "this agent is a viewer of that channel, not its camera"}
	case ch.stores():
		return nil, &status.Problem{Status: 409, Text: "this channel stores its pictures, and takes no viewers",
			Hint: "kvsagent view joins the storage session; storage: off serves viewers again"}
	}
	return ch, nil
}

// watcher carries the signals of one page.
type watcher struct {
	client *signaling.Client
	offer  string // "" once sent
	send   func(status.Signal) error
	expect func() // tells the master's client that an offer is under way
}

// on handles one event, and reports whether it was the answer.
func (w *watcher) on(e signaling.Event) (answered bool, err error) {
	switch e := e.(type) {
	case signaling.Connected:
		if w.offer == "" {
			return false, nil
		}
		m, err := toMessage(peer.Offer{SDP: w.offer}, master)
		if err != nil {
			return false, err
		}
		w.offer = ""
		w.expect()
		return false, w.client.Send(m)
	case signaling.Disconnected:
		if w.offer != "" {
			return false, fmt.Errorf("signaling: %w", e.Err)
		}
	case signaling.Refused:
		return false, e.Err
	case signaling.Received:
		signals, err := toSignals(e.Message)
		for _, signal := range signals {
			switch s := signal.(type) {
			case peer.Answer:
				return true, w.send(status.Signal{Type: "answer", SDP: s.SDP})
			case peer.Candidate:
				err = w.send(status.Signal{Type: "candidate", Candidate: s.Candidate, SDPMid: s.SDPMid,
					SDPMLineIndex: s.SDPMLineIndex})
			}
		}
		return false, err
	}
	return false, nil
}
