package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/internal/backoff"
)

// A master that hears nobody may have no viewers, or may have been displaced: the service gives the messages of a
// channel to the master that connected last, and tells the one before nothing. So a silent master asks: it connects to
// its own channel as a viewer and sends itself a message.

const (
	// hearingPrefix begins the client IDs of masters that ask. Messages from them are nobody's offers.
	hearingPrefix = "kvsagent-hearing-"

	askTries   = 3               // messages of one question
	askEvery   = 2 * time.Second // between them, and after the last
	expectFor  = 3 * time.Second // how long a message that was just sent to this master may take
	verifyIn   = 2 * time.Second // after the connection that takes the channel back
	minSpread  = time.Minute     // of the questions of a fleet
	deniedFor  = 6 * time.Hour   // until the service is asked again whether the keys may connect as a viewer
	contestFor = 6 * time.Hour   // two losses of the channel within this are one contest
)

// errDisplaced says that another master is connected to the channel and gets its messages.
var errDisplaced = errors.New("another master has taken this channel and gets its messages; hint: stop the other, " +
	"or give each its own channel")

// silence is how long nobody is heard before a master asks, or, when it may not ask, renews its connection. It is part
// of the policy and pure like next.
func silence(hearing, spread time.Duration, mayAsk bool, u float64) time.Duration {
	if !mayAsk {
		hearing *= 2
	}
	return hearing + backoff.Scale(max(spread, minSpread), u)
}

// hearing is what a master knows about whether it is heard. A run's loop owns it.
type hearing struct {
	id    string      // of its questions
	at    *time.Timer // the next question
	since time.Time   // something heard after this answers it
	heard time.Time   // when a message last came over the current session

	asking bool // a question is under way
	gen    int  // the session that should hear it
	stop   context.CancelFunc
	asked  chan error // why it could not be asked; nil: it was

	denied    time.Time // when the keys were last refused; zero: never
	displaced bool
	losses    int // of the channel, in this contest
	lost      time.Time
	rivalLog  limiter
}

// listens reports whether this run asks at all. The storage service takes the messages of its channels.
func (r *run) listens() bool {
	return r.c.opts.Role == Master && r.c.opts.Hearing > 0 && !r.c.storage.Load() && !r.c.retired.Load()
}

// mayAsk reports whether the keys are thought to allow connecting as a viewer.
func (h *hearing) mayAsk(now time.Time) bool {
	return h.denied.IsZero() || now.Sub(h.denied) >= deniedFor
}

// listenAnew begins to listen on a new session.
func (r *run) listenAnew() {
	h := &r.hearing
	h.since, h.heard = r.c.opts.Now(), time.Time{}
	if !r.listens() {
		h.at.Stop()
		return
	}
	if h.displaced {
		h.at.Reset(verifyIn)
		return
	}
	r.listen()
}

// listen schedules the next question.
func (r *run) listen() {
	h := &r.hearing
	now := r.c.opts.Now()
	if h.heard.After(h.since) {
		h.since = h.heard
	}
	wait := silence(r.c.opts.Hearing, r.c.opts.Spread, h.mayAsk(now), r.c.opts.Rand())
	h.at.Reset(wait - now.Sub(h.since))
}

// onExpected handles Expect in the loop.
func (r *run) onExpected() {
	h := &r.hearing
	if r.cur == nil || h.asking || h.displaced || !r.listens() {
		return
	}
	h.since = r.c.opts.Now()
	h.at.Reset(expectFor)
}

// onHearingTime asks, unless somebody was heard meanwhile.
func (r *run) onHearingTime() {
	h := &r.hearing
	now := r.c.opts.Now()
	switch {
	case r.cur == nil || h.asking || !r.listens(): // a new session listens anew
	case h.heard.After(h.since):
		r.listen()
	case !h.mayAsk(now):
		r.c.opts.Log.Debug("signaling connection renewed: nobody was heard", "silent", now.Sub(h.since))
		r.dial()
		h.since = now
		r.listen() // for the case that it is not replaced
	default:
		ctx, stop := context.WithCancel(r.ctx)
		h.asking, h.gen, h.stop = true, r.cur.gen, stop
		r.wg.Go(func() {
			err := r.c.ask(ctx, h.id)
			select {
			case h.asked <- err:
			case <-r.ctx.Done():
			}
		})
	}
}

// hears notes a message over the session from. It reports whether the message is a question, not for the owner.
func (r *run) hears(from *session, sender string) (question bool) {
	h := &r.hearing
	now := r.c.opts.Now()
	if from == r.cur {
		h.heard = now
		if h.displaced {
			r.restored()
		}
		if h.asking {
			h.stop()
		}
	}
	if !strings.HasPrefix(sender, hearingPrefix) || r.c.opts.Role != Master {
		return false
	}
	if sender != h.id && h.rivalLog.allow(now, time.Hour) {
		r.c.opts.Log.Warn("another kvsagent is a master of this channel, and asks whether it is heard",
			"hint", "give each its own channel")
	}
	return true
}

// onAsked draws the conclusion from a question.
func (r *run) onAsked(err error) {
	h := &r.hearing
	h.asking = false
	h.stop()
	var api *APIError
	switch {
	case r.cur == nil:
	case r.cur.gen != h.gen, h.heard.After(h.since):
		r.listen()
	case errors.As(err, &api) && api.cause() == denied:
		if h.denied.IsZero() {
			r.c.opts.Log.Info("whether another master takes this channel cannot be asked; the connection is renewed "+
				"instead when nobody is heard", "err", r.c.explain(err))
		}
		h.denied = r.c.opts.Now()
		r.listen()
	case err != nil: // says nothing about the master
		r.c.opts.Log.Debug("asking whether this master is heard failed", "err", err)
		h.since = r.c.opts.Now()
		r.listen()
	default:
		r.displaced()
	}
}

// displaced takes the channel back: at once, and more slowly each time that it is lost again.
func (r *run) displaced() {
	h := &r.hearing
	now := r.c.opts.Now()
	if now.Sub(h.lost) >= contestFor {
		h.losses = 0
	}
	wait := next(displaced, h.losses, r.c.opts.Spread, r.c.opts.Rand())
	h.displaced, h.lost = true, now
	h.losses++
	r.dialAt.Reset(wait)
	r.c.update(func(p *Report) {
		p.State, p.Err = Displaced, errDisplaced
		p.Displaced++
		r.c.retryAt = now.Add(wait)
	})
	r.c.opts.Log.Warn("signaling displaced", "err", errDisplaced, "times", h.losses, "retry",
		wait.Round(time.Millisecond))
}

// restored ends the state of being displaced.
func (r *run) restored() {
	r.hearing.displaced = false
	r.dialAt.Reset(life(r.c.opts.Rand()))
	r.c.update(func(p *Report) { p.State, p.Err = Online, nil })
	r.c.opts.Log.Info("this master gets the channel's messages again")
}

// Expect tells a master that a viewer has just sent it a message. When nothing comes within three seconds, it asks
// whether it is displaced, instead of waiting for minutes of silence. Expect never blocks.
func (c *Client) Expect() {
	select {
	case c.expect <- struct{}{}:
	default:
	}
}

// ask sends this channel's master a few messages as the viewer id, until ctx is done. It returns nil when the last one
// has had time to arrive.
func (c *Client) ask(ctx context.Context, id string) error {
	s, err := c.dialViewer(ctx, id)
	if c.control.doubtKeys(err) {
		s, err = c.dialViewer(ctx, id)
	}
	if err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() {
		for {
			if _, err := s.receive(); err != nil { // answers are for the master
				gone <- err
				return
			}
		}
	}()
	defer func() { s.close(); <-gone }()
	frame, err := encode(Message{Type: ICECandidate, Payload: question})
	if err != nil {
		return err
	}
	for range askTries {
		if err := s.send(frame); err != nil {
			return err
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return nil
		case err := <-gone:
			gone <- err // for the deferred receive
			return fmt.Errorf("the viewer's connection has ended: %w", err)
		}
	}
	return nil
}

// dialViewer opens a WebSocket to this channel as the viewer id.
func (c *Client) dialViewer(ctx context.Context, id string) (*session, error) {
	ch, remembered, err := c.control.findAsViewer(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.dialAs(ctx, ch, Viewer, id)
	if err != nil && remembered && stale(err) {
		c.control.forgetViewer(ctx)
	}
	return s, err
}

// question is a candidate that says "no more candidates" (RFC 8840 section 4.4), harmless to every master.
var question, _ = json.Marshal(map[string]any{"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0})
