package signaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/internal/outage"
)

// drain is how long a replaced session is still read: the service's grace period after GO_AWAY.
const drain = time.Minute

// run is one call of Run: the goroutine that owns the sessions. Dialling, reading, pinging and writing have goroutines
// of their own that report to it.
type run struct {
	c   *Client
	on  func(Event)
	ctx context.Context // of this run; set once by loop
	wg  sync.WaitGroup

	arrivals chan arrival
	dialled  chan dialled
	live     atomic.Pointer[session] // the session that the writer uses; set by loop

	// The loop owns the fields below.

	retrier retrier
	gen     int
	cur     *session // nil while not connected
	old     *session // replaced, and read until it ends
	dialing bool
	dialAt  *time.Timer // next dial: a redial, or the replacement of cur
	dropAt  *time.Timer // end of old

	replaced time.Time // when the last replacement began
	refusals int       // of the current replacement
	overlap  overlap
	join     joiner
	hearing  hearing
	frameLog limiter       // unusable frames
	failures outage.Series // for the log
}

// arrival is a frame, or the end of a session.
type arrival struct {
	from *session
	data []byte
	err  error
	woke bool // the first after this process was stopped
}

// dialled is the result of a dial.
type dialled struct {
	session *session
	err     error
}

func newRun(c *Client, on func(Event)) *run {
	return &run{
		c: c, on: on,
		arrivals: make(chan arrival),
		dialled:  make(chan dialled),
		retrier:  retrier{spread: c.opts.Spread, rand: c.opts.Rand},
	}
}

// loop runs until ctx is done or no further attempt makes sense.
func (r *run) loop(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer r.end()
	defer cancel()
	r.ctx = ctx
	r.dialAt, r.dropAt = time.NewTimer(0), time.NewTimer(drain)
	defer r.dialAt.Stop()
	defer r.dropAt.Stop()
	r.join = joiner{at: time.NewTimer(time.Hour), joined: make(chan error)}
	r.join.at.Stop() // until there is a session to join
	defer r.join.at.Stop()
	r.hearing = hearing{id: r.c.hearingID, at: time.NewTimer(time.Hour), asked: make(chan error)}
	r.hearing.at.Stop() // until there is a session to listen on
	defer r.hearing.at.Stop()
	r.wg.Go(r.write)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.dialAt.C:
			r.dial()
		case <-r.dropAt.C:
			r.dropOld()
		case <-r.join.at.C:
			r.onJoinTime()
		case err := <-r.join.joined:
			r.onJoined(err)
		case <-r.hearing.at.C:
			r.onHearingTime()
		case err := <-r.hearing.asked:
			r.onAsked(err)
		case <-r.c.expect:
			r.onExpected()
		case <-r.c.network:
			r.onNetwork()
		case why := <-r.c.rejoin:
			r.onRejoin(why)
		case d := <-r.dialled:
			if err := r.onDialled(d); err != nil {
				return err
			}
		case a := <-r.arrivals:
			if err := r.onArrival(a); err != nil {
				return err
			}
		}
	}
}

// end closes everything and waits for all goroutines.
func (r *run) end() {
	r.live.Store(nil)
	for _, s := range []*session{r.cur, r.old} {
		if s != nil {
			s.close()
		}
	}
	r.wg.Wait()
}

// dial starts a dial, unless one is in progress.
func (r *run) dial() {
	if r.dialing || r.c.retired.Load() {
		return
	}
	r.dialing = true
	if r.cur == nil {
		r.c.update(func(p *Report) { p.State = Connecting })
	} else if r.refusals == 0 {
		r.replaced = r.c.opts.Now()
	}
	r.wg.Go(func() {
		s, err := r.c.connect(r.ctx)
		select {
		case r.dialled <- dialled{s, err}:
		case <-r.ctx.Done():
			if s != nil {
				s.close()
			}
		}
	})
}

// connect finds the channel and opens a WebSocket to it. It forgets cached data that an error has proved wrong.
func (c *Client) connect(ctx context.Context) (*session, error) {
	lessons := c.clock.lessons()
	ch, remembered, err := c.control.find(ctx)
	var s *session
	if err == nil {
		c.storage.Store(ch.storage)
		c.update(func(p *Report) { p.ARN, p.Storage = ch.arn, ch.storage })
		if c.opts.Claim != nil {
			err = c.opts.Claim(ch.arn)
		}
		if err != nil {
			return nil, &claimError{err}
		}
		s, err = c.dial(ctx, ch)
	}
	if err == nil {
		return s, nil
	}
	again := c.control.doubtKeys(err)
	if again && c.clock.lessons() != lessons {
		return nil, &taughtError{err} // keys and channel may be right
	}
	if remembered && stale(err) {
		c.control.forget(ctx)
		if !again {
			err = &outdatedError{err}
		}
	}
	return nil, err
}

func (r *run) onDialled(d dialled) error {
	r.dialing = false
	switch {
	case d.err == nil:
		r.open(d.session)
		return nil
	case r.cur != nil:
		r.notReplaced(d.err)
		return nil
	}
	return r.fail(d.err)
}

// open makes s the current session. The session that it replaces is still read until it ends, for at most drain, since
// the service may have messages under way.
func (r *run) open(s *session) {
	r.gen++
	s.gen = r.gen
	planned := r.cur != nil
	r.overlap.opened(planned)
	if planned {
		r.retrier.ended(r.age(r.cur))
		r.dropOld()
		r.old = r.cur
		r.dropAt.Reset(drain)
	}
	r.cur = s
	r.refusals = 0
	r.wg.Go(func() { r.read(s) })
	r.wg.Go(func() { s.keepAlive(r.ctx) })
	r.live.Store(s)
	r.c.queue.poke()
	r.dialAt.Reset(life(r.c.opts.Rand()))
	r.c.update(func(p *Report) {
		p.State, p.Err = Online, nil
		p.Connects++
	})
	r.failures.Recovered(r.c.opts.Now()) // the line below tells it
	level := slog.LevelInfo
	if planned { // happens every hour, without effect
		level = slog.LevelDebug
	}
	r.c.opts.Log.Log(r.ctx, level, "signaling connected", "generation", s.gen, "replaced", planned)
	r.on(Connected{Generation: s.gen})
	r.joinOnOpen()
	r.listenAnew()
}

// notReplaced keeps the current session after an attempt to replace it has failed.
func (r *run) notReplaced(err error) {
	wait := next(replacing, r.refusals, r.c.opts.Spread, r.c.opts.Rand())
	r.refusals++
	if r.c.opts.Now().Sub(r.replaced) > drain {
		wait, _ = r.retrier.retry(err)
	}
	r.dialAt.Reset(wait)
	r.logFailure("signaling connection not replaced yet", r.c.explain(err), wait)
}

// fail schedules the next attempt.
func (r *run) fail(err error) error {
	if r.c.retired.Load() {
		return errRetired
	}
	wait, final := r.retrier.retry(err)
	err = r.c.explain(err)
	if final {
		return err
	}
	r.dialAt.Reset(wait)
	r.c.update(func(p *Report) {
		p.State, p.Err = Waiting, err
		r.c.retryAt = r.c.opts.Now().Add(wait)
	})
	r.logFailure("signaling not connected", err, wait)
	r.on(Disconnected{Err: err, RetryIn: wait})
	return nil
}

// logFailure logs a failure for a new reason, and once an hour that it lasts, not for each of a thousand attempts. It
// logs nothing when the next attempt is immediate, since that one will tell.
func (r *run) logFailure(what string, err error, wait time.Duration) {
	if now := r.c.opts.Now(); wait > 0 && r.failures.Failed(now, failureText(err)) {
		r.c.opts.Log.Warn(what, "err", err, "tries", r.failures.Tries(),
			"lasted", r.failures.Lasted(now).Round(time.Second), "retry", wait.Round(time.Millisecond))
	}
}

// failureText identifies a failure: the error text without request IDs, ports and times.
func failureText(err error) string {
	var api *APIError
	if errors.As(err, &api) {
		return fmt.Sprint(api.Op, api.Status, api.Code)
	}
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, err.Error())
}

func (r *run) age(s *session) time.Duration { return r.c.opts.Now().Sub(s.opened) }

// read passes the frames of s to loop, until the session is dead.
func (r *run) read(s *session) {
	for {
		data, err := s.receive()
		select {
		case r.arrivals <- arrival{s, data, err, s.wake.woke.Swap(false)}:
		case <-r.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (r *run) onArrival(a arrival) error {
	if a.woke && a.from == r.cur && a.err == nil {
		r.c.opts.Log.Info("this process was stopped for a while; reading what came meanwhile")
		r.on(Connected{Generation: a.from.gen})
	}
	switch {
	case a.err == nil:
		r.onFrame(a.from, a.data)
		return nil
	case a.from == r.old:
		r.dropOld()
		return nil
	case a.from != r.cur: // a session that dropOld has closed
		return nil
	}
	r.cur = nil
	r.live.Store(nil)
	a.from.close()
	err := &lostError{err: a.err, age: r.age(a.from), at: r.c.opts.Now()}
	if !r.dialing {
		return r.fail(err)
	}
	r.retrier.ended(err.age)
	// A replacement is on its way; its result decides what happens.
	r.c.update(func(p *Report) { p.State, p.Err = Connecting, err })
	r.on(Disconnected{Err: err})
	return nil
}

func (r *run) dropOld() {
	if r.old != nil {
		old := r.old
		r.old = nil
		r.wg.Go(old.close) // may wait a moment for a peer that does not read
	}
}
