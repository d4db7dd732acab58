package peer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/pion/webrtc/v4"
)

const signalsQueued = 128

// Conn is one connection to one remote client. Run owns its three parts: negotiation says what is offered and answered,
// recovery when ICE is restarted and when to give up, outgoing what is sent.
type Conn struct {
	o       Config
	signals chan Signal
	wake    wakeUp
	out     *signalQueue
	guard   *contain.Guard

	negotiation negotiation
	recovery    recovery
	outgoing    *outgoing
	liveness    liveness
	framed      bool // OnFrame was called
	progress    progress
	left        func() // tells the engine that this connection has ended

	mu       sync.Mutex // guards the fields below
	link     *link      // nil before the first description
	overflow uint64     // signals that were dropped
}

// New checks the config. Run starts the connection.
func New(o Config) (*Conn, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		o: o, signals: make(chan Signal, signalsQueued), wake: newWakeUp(), out: &signalQueue{send: o.Send},
		negotiation: negotiation{polite: o.Polite, receives: o.Receive, asked: map[media.Codec]bool{}},
		progress:    progress{began: time.Now(), state: Negotiating},
	}
	onFrame := func() { // from whatever goroutine: Run tells of it, since a sender has no time for that
		c.progress.reached(func(st *Stages) *time.Duration { return &st.Frame })
		c.wake.add(stateChanged)
	}
	c.guard = &contain.Guard{Wake: func() { c.wake.add(broken) }, Log: o.Log, Panics: &o.Engine.panics}
	c.outgoing = newOutgoing(o, onFrame, c.guard)
	c.left = o.Engine.use()
	return c, nil
}

// Handle hands over what the remote has sent. It never blocks; signals beyond a bound are dropped and counted.
func (c *Conn) Handle(s Signal) {
	defer c.guard.Contain("signal")
	if o, ok := s.(Offer); ok {
		c.progress.meet(identityOf(o.SDP))
	}
	select {
	case c.signals <- s:
	default:
		c.mu.Lock()
		c.overflow++
		c.mu.Unlock()
	}
}

// Takes tells whether an offer is for this connection: it comes from its remote, as a duplicate or to restart ICE (RFC
// 8839 section 4.4.1.1.1) or to negotiate again, or it crosses our own first offer. If not, a page was reloaded under
// the same client id, and this connection is to be replaced.
func (c *Conn) Takes(offer string) bool {
	defer c.guard.Contain("signal")
	id, known := identityOf(offer), c.progress.who()
	return known.Fingerprint == "" || known.Same(id)
}

// RefusedError is an offer that was answered with a refusal, or an offer or answer that could not be understood.
type RefusedError struct{ Reason error }

func (e *RefusedError) Error() string { return e.Reason.Error() }
func (e *RefusedError) Unwrap() error { return e.Reason }

// ErrEnded is why a connection is over that the remote has closed.
var ErrEnded = errors.New("the remote ended the connection")

// Run negotiates, connects and carries media until ctx is done (nil), or until the connection is over, and then says
// why. It is called once. When it returns, all that it started has ended.
func (c *Conn) Run(ctx context.Context) error {
	defer c.left()
	return c.guard.Run("negotiation", func() error { return c.run(ctx) })
}

func (c *Conn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.close()
	defer cancel()
	c.recovery.begin(time.Now(), c.o.SetupTimeout)
	c.liveness.check = time.Now().Add(livenessEvery)
	c.outgoing.join()
	if c.o.Offer {
		if err := c.offer(ctx); err != nil {
			return err
		}
	}
	deadline := time.NewTimer(0)
	defer deadline.Stop()
	for {
		deadline.Reset(time.Until(c.deadline()))
		var err error
		select {
		case <-ctx.Done():
			return nil
		case s := <-c.signals:
			err = c.onSignal(ctx, s)
		case <-c.wake.c:
			err = c.onEvents(ctx, c.wake.take())
		case <-c.outgoing.changed:
			c.outgoing.watch()
			err = c.syncTracks(ctx)
		case <-deadline.C:
			err = c.onDeadline(ctx, time.Now())
		}
		if err != nil {
			return trueReason(c, err)
		}
	}
}

func (c *Conn) onSignal(ctx context.Context, s Signal) error {
	switch s := s.(type) {
	case Offer:
		return c.onOffer(ctx, s)
	case Answer:
		return c.onAnswer(ctx, s)
	case Candidate:
		return c.onCandidate(s)
	}
	return nil
}

func (c *Conn) onEvents(ctx context.Context, e events) error {
	if e.has(broken) {
		return c.guard.Reason()
	}
	for _, x := range []struct {
		event events
		do    func() error
	}{
		{stateChanged, func() error { return c.onState(ctx) }},
		{restartWanted, c.restart},
		{migrateWanted, func() error { return c.migrateRelay(ctx, migrateDeadline, errNotMigrated) }},
		{relayRefused, func() error { return c.migrateRelay(ctx, migrateDeadline, errPassword) }},
		{networkChanged, func() error { return c.onNetworkChange(ctx) }},
	} {
		if !e.has(x.event) {
			continue
		}
		if err := x.do(); err != nil {
			return err
		}
	}
	return nil
}

// deadline is when something must be looked at, whatever comes until then.
func (c *Conn) deadline() time.Time {
	first := c.liveness.check
	for _, t := range []time.Time{c.recovery.deadline, c.negotiation.wantedBy} {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

func (c *Conn) onDeadline(ctx context.Context, now time.Time) error {
	past := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	if past(c.recovery.deadline) {
		if err := c.onRecoveryDeadline(ctx); err != nil {
			return err
		}
	}
	if past(c.negotiation.wantedBy) {
		if err := c.onNoAnswer(ctx); err != nil {
			return err
		}
	}
	if past(c.liveness.check) {
		return c.checkLiveness(now)
	}
	return nil
}

func (c *Conn) onRecoveryDeadline(ctx context.Context) error {
	l := c.current()
	ours, theirs := l.relayed()
	switch c.recovery.onDeadline(l.activity(c.o.Receive), c.progress.is(Connected) && !ours && !theirs) {
	case endSetup:
		return c.o.setupError(c.progress.soFar(), l)
	case endNow:
		return c.recovery.why
	case restartICE:
		if c.recovery.condition == lost { // the password of a relay may be too old for another
			if err := l.freshServers(ctx, c.o.ICEServers); err != nil {
				return err
			}
		}
		return c.restart()
	case askAgain:
		return ask(c)
	case offerICE:
		return c.offerRestart()
	}
	return nil
}

// onState follows the peer connection. Losing contact is no end: ICE may find its way again, and a failed one may be
// restarted.
func (c *Conn) onState(ctx context.Context) error {
	l := c.current()
	if l == nil {
		return nil
	}
	if s := l.pc.ICEConnectionState(); s == webrtc.ICEConnectionStateConnected ||
		s == webrtc.ICEConnectionStateCompleted {
		c.progress.reached(func(st *Stages) *time.Duration { return &st.ICE })
	}
	switch l.pc.ConnectionState() {
	case webrtc.PeerConnectionStateConnecting:
		c.progress.enter(Connecting)
	case webrtc.PeerConnectionStateConnected:
		return c.onConnected(ctx, l)
	case webrtc.PeerConnectionStateDisconnected:
		c.progress.enter(Disconnected)
		if c.recovery.onSilence(time.Now()) { // our own address may be the same, as it is with another gateway
			return c.reroute(ctx)
		}
		if c.progress.offeredByUs() && c.recovery.onLost(time.Now()) {
			return ask(c)
		}
	case webrtc.PeerConnectionStateFailed:
		return c.onFailed(ctx, l)
	case webrtc.PeerConnectionStateClosed:
		if !c.progress.wasConnected() {
			if err := l.handshakeError(tellingWithin); err != nil {
				return err
			}
		}
		return ErrEnded
	}
	return nil
}

func (c *Conn) onConnected(ctx context.Context, l *link) error {
	c.progress.enter(Connected)
	c.progress.measured(l.roundTrip())
	c.recovery.onConnected(l.hostRoute(c.o.Engine))
	if c.progress.reached(func(st *Stages) *time.Duration { return &st.Connected }) {
		c.outgoing.startAll(ctx, l, c.o.Engine, c.negotiation.remote)
		if c.o.OnConnected != nil {
			c.o.OnConnected()
		}
		if err := c.syncTracks(ctx); err != nil { // the source may have changed meanwhile
			return err
		}
	}
	if !c.framed && c.progress.soFar().Frame != 0 {
		c.framed = true
		if c.o.OnFrame != nil {
			c.o.OnFrame()
		}
	}
	return nil
}

func (c *Conn) onFailed(ctx context.Context, l *link) error {
	if !c.progress.wasConnected() {
		return c.o.setupError(c.progress.soFar(), l)
	}
	c.progress.enter(Disconnected)
	if !c.recovery.onFailed(time.Now()) {
		return nil
	}
	if err := l.freshServers(ctx, c.o.ICEServers); err != nil {
		return err
	}
	return c.restart()
}

// current is the link that there is; nil before the first description.
func (c *Conn) current() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

func (c *Conn) setLink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
}

// close ends everything that belongs to the connection, and waits for it.
func (c *Conn) close() {
	c.outgoing.close()
	if l := c.current(); l != nil {
		l.close(&c.outgoing.work, c.guard)
	}
}

// events is a set of what has happened to a connection since Run last looked.
type events uint32

const (
	stateChanged   events = 1 << iota // of ICE, of DTLS, or the first frame was sent or received
	broken                            // Conn.fault says why
	restartWanted                     // Restart
	migrateWanted                     // Migrate
	networkChanged                    // NetworkChanged
	relayRefused                      // a TURN server gives no more time to what it has given us
)

func (e events) has(x events) bool { return e&x != 0 }

// wakeUp collects events for one goroutine, from any. None is lost, however often it comes before the goroutine looks.
type wakeUp struct {
	c   chan struct{} // 1 slot: there are events
	set atomic.Uint32
}

func newWakeUp() wakeUp { return wakeUp{c: make(chan struct{}, 1)} }

func (w *wakeUp) add(e events) {
	w.set.Or(uint32(e))
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// take gives the events there are, and forgets them.
func (w *wakeUp) take() events { return events(w.set.Swap(0)) }
