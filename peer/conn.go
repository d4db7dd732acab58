package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

const (
	defaultSetup  = 20 * time.Second
	failedGrace   = 5 * time.Second  // after ICE has failed, for a restart offer
	tracksWithin  = 12 * time.Second // how long an offer waits for the source's first tracks
	gatherWithin  = 2 * time.Second  // how long the description for a remote that does not trickle waits for candidates
	leaseEvery    = 5 * time.Second
	closeWithin   = 5 * time.Second
	signalsQueued = 128
)

// Config says what one connection is for. Engine and Send are required.
type Config struct {
	Engine *Engine
	Send   func(Signal) // carries a signal to the remote; called from the Conn's goroutines, must not block

	Offer     bool          // make the offer; else wait for one
	Polite    bool          // when both sides offer at once, the remote's offer stands; one side should be polite
	Broadcast *Broadcast    // what to send; nil is nothing
	Receive   bool          // take what the remote sends
	Refuse    string        // refuse the first offer for this reason, which is no empty text
	Needs     []media.Codec // what the source must have, or an offer is refused: the remote takes all of them or nothing
	Sink      media.Sink    // where received frames go; nil only counts them
	Epoch     time.Time     // time zero of received frames; default is now

	OnConnected func() // called once from Run, when media can flow
	OnFrame     func() // called once from Run, when the first key frame was sent or received

	ICEServers   func(context.Context) []ICEServer // asked once, before the first description; nil is none
	RelayOnly    bool                              // paths through our TURN servers only
	NoHost       bool                              // tell the remote no address of this host's own, only those that STUN and TURN servers see
	Trusted      bool                              // the remote is our own, and may name private addresses whatever the engine's Remotes says
	SetupTimeout time.Duration                     // from Run to connected; default 20 s
	IdleTimeout  time.Duration                     // without a frame in either direction, once connected; 0 is no limit
	Log          *slog.Logger
}

// Conn is one connection to one remote client.
type Conn struct {
	o       Config
	signals chan Signal
	wake    chan struct{} // 1 slot: the state of pc may have changed
	broken  chan error    // 1 slot: sending ended, or the remote went too far
	began   time.Time
	out     *outbox

	restarts chan struct{} // 1 slot
	moves    chan struct{} // 1 slot
	changes  chan struct{} // 1 slot
	refusals chan struct{} // 1 slot

	// Owned by Run.
	early      []Candidate                // before the remote description
	taken      int                        // candidates given to pc since the remote's last ICE credentials
	pending    *webrtc.SessionDescription // our offer of a restart, until it is answered
	failing    bool                       // ICE has failed, and has until failed fires to come back
	failed     *time.Timer
	unmoved    *time.Timer // end of waiting for the remote's part in a move
	unmovedWhy error
	heard      answered    // what had come when the network changed
	healing    *time.Timer // end of waiting for more
	healed     time.Time   // when ICE was restarted last
	was        way         // when we were connected last
	changed    time.Time   // when the host's network was last another; zero is never, or dealt with
	lease      lease
	lastIn     string      // the last offer we answered
	lastOut    string      // our answer to it
	framed     bool        // OnFrame was called
	begged     *time.Timer // end of waiting for an offer that we have asked for over the data channel
	asking     asking
	level      Level                               // the one that the remote must have: Sub when it cannot take the codec of the main stream
	leave      func()                              // the main stream
	leaveSub   func()                              // the smaller one, when the remote must have it
	listening  map[*webrtc.RTPSender]chan struct{} // closed when nobody listens any more
	sendersW   sync.WaitGroup
	route      *route // nil before the first sender has started

	mu       sync.Mutex // guards the fields below
	pc       *webrtc.PeerConnection
	keys     *srtpKeys // nil when we send nothing
	sockets  *sockets
	section  webrtc.ICECandidateInit // the media section of our candidates
	inbound  *inbound
	sends    []*sending
	past     uint64 // bytes of media that senders have sent that are no longer there
	receiver *receiver
	state    State
	stages   Stages
	offered  bool     // by us; else by the remote
	remote   identity // once known
	overflow uint64
}

// State is how far a connection has come.
type State string

// The states of a Conn.
const (
	Negotiating  State = "negotiating" // descriptions are not yet exchanged
	Connecting   State = "connecting"  // ICE or DTLS is under way
	Connected    State = "connected"
	Disconnected State = "disconnected" // nothing heard for a while; may come back by itself
)

// Stages is when each step to the first frame was reached, since New; 0 is not yet.
type Stages struct {
	Offer     time.Duration // sent, or taken
	Answer    time.Duration // sent, or taken
	ICE       time.Duration
	Connected time.Duration // with the DTLS handshake done
	Packet    time.Duration // sent, of whatever track
	Frame     time.Duration // the first key frame sent or received
}

// LogValue writes the stages that were reached.
func (s Stages) LogValue() slog.Value {
	var out []slog.Attr
	for _, x := range []struct {
		name string
		at   time.Duration
	}{{"offer", s.Offer}, {"answer", s.Answer}, {"ice", s.ICE}, {"connected", s.Connected}, {"packet", s.Packet}, {"frame", s.Frame}} {
		if x.at > 0 {
			out = append(out, slog.Duration(x.name, x.at.Round(100*time.Microsecond)))
		}
	}
	return slog.GroupValue(out...)
}

// New checks the config. Run starts the connection.
func New(o Config) (*Conn, error) {
	if o.Engine == nil || o.Send == nil {
		return nil, errors.New("peer: Engine and Send are required")
	}
	if o.Broadcast == nil && !o.Receive && o.Refuse == "" {
		return nil, errors.New("peer: nothing to send and nothing to receive")
	}
	if o.SetupTimeout == 0 {
		o.SetupTimeout = defaultSetup
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Conn{
		o: o, signals: make(chan Signal, signalsQueued), wake: make(chan struct{}, 1), broken: make(chan error, 1),
		restarts: make(chan struct{}, 1), moves: make(chan struct{}, 1), changes: make(chan struct{}, 1), refusals: make(chan struct{}, 1),
		out: &outbox{send: o.Send}, state: Negotiating, began: time.Now(),
		listening: map[*webrtc.RTPSender]chan struct{}{}, asking: asking{asked: map[media.Codec]bool{}},
	}, nil
}

// Handle hands over what the remote has sent. It never blocks; signals beyond a bound are dropped and counted.
func (c *Conn) Handle(s Signal) {
	if o, ok := s.(Offer); ok {
		c.mu.Lock()
		if c.remote.fingerprint == "" {
			c.remote = identityOf(o.SDP) // so that Takes knows it before Run has come to it
		}
		c.mu.Unlock()
	}
	select {
	case c.signals <- s:
	default:
		c.mu.Lock()
		c.overflow++
		c.mu.Unlock()
	}
}

// RefusedError is an offer that was answered with a refusal, or not at all because it was none, or an answer that was none.
type RefusedError struct{ Reason error }

func (e *RefusedError) Error() string { return e.Reason.Error() }
func (e *RefusedError) Unwrap() error { return e.Reason }

// ErrEnded is why a connection is over that the remote has closed.
var ErrEnded = errors.New("the remote ended the connection")

// Run negotiates, connects and carries media until ctx is done (nil), or until the connection is over, and then says why. It is called
// once. When it returns, all that it started has ended.
func (c *Conn) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.close()
	defer cancel()
	setup := time.NewTimer(c.o.SetupTimeout)
	defer setup.Stop()
	c.failed = time.NewTimer(time.Hour)
	c.failed.Stop()
	defer c.failed.Stop()
	c.unmoved = time.NewTimer(time.Hour)
	c.unmoved.Stop()
	defer c.unmoved.Stop()
	c.begged = time.NewTimer(time.Hour)
	c.begged.Stop()
	defer c.begged.Stop()
	c.asking.within = time.NewTimer(time.Hour)
	c.asking.within.Stop()
	defer c.asking.within.Stop()
	c.healing = time.NewTimer(time.Hour)
	c.healing.Stop()
	defer c.healing.Stop()
	var changed <-chan struct{}
	if c.o.Broadcast != nil {
		c.leave = c.o.Broadcast.join(Main)
		_, changed = c.o.Broadcast.current(c.level)
	}
	lease := time.NewTicker(leaseEvery)
	defer lease.Stop()
	if c.o.Offer {
		if err := c.offer(ctx); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-c.signals:
			if err := c.on(ctx, s); err != nil {
				return err
			}
		case <-c.restarts:
			if err := c.restart(); err != nil {
				return err
			}
		case <-c.moves:
			if err := c.move(ctx, moveWithin, errNotMoved); err != nil {
				return err
			}
		case <-c.refusals:
			if err := c.onRefusal(ctx); err != nil {
				return err
			}
		case <-c.changes:
			if err := c.onChange(ctx); err != nil {
				return err
			}
		case <-c.healing.C:
			if err := c.checkHealed(); err != nil {
				return err
			}
		case <-c.begged.C:
			if err := c.offerRestart(); err != nil {
				return err
			}
		case <-c.unmoved.C:
			if err := c.checkMoved(); err != nil {
				return err
			}
		case <-c.wake:
			if err := c.onState(ctx, setup); err != nil {
				return err
			}
		case err := <-c.broken:
			return err
		case <-changed:
			_, changed = c.o.Broadcast.current(c.level)
			if err := c.follow(ctx); err != nil {
				return err
			}
		case <-c.asking.within.C:
			if err := c.notAnswered(); err != nil {
				return err
			}
		case <-lease.C:
			if err := c.checkLease(); err != nil {
				return err
			}
		case <-setup.C:
			return c.setupError()
		case <-c.failed.C:
			return errors.New("ice failed: nothing heard from the remote for half a minute")
		}
	}
}

func (c *Conn) on(ctx context.Context, s Signal) error {
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

// onState follows the peer connection. Losing contact is no end: ICE may find its way again, and a failed one may be restarted.
func (c *Conn) onState(ctx context.Context, setup *time.Timer) error {
	pc := c.connection()
	if pc == nil {
		return nil
	}
	if s := pc.ICEConnectionState(); s == webrtc.ICEConnectionStateConnected || s == webrtc.ICEConnectionStateCompleted {
		c.reached(func(st *Stages) *time.Duration { return &st.ICE })
	}
	switch pc.ConnectionState() {
	case webrtc.PeerConnectionStateConnecting:
		c.enter(Connecting)
	case webrtc.PeerConnectionStateConnected:
		setup.Stop()
		c.failed.Stop()
		c.failing = false
		c.enter(Connected)
		c.noteWay()
		if c.reached(func(st *Stages) *time.Duration { return &st.Connected }) {
			for _, x := range c.senders() {
				c.start(ctx, pc, x)
			}
			if c.o.OnConnected != nil {
				c.o.OnConnected()
			}
			if err := c.follow(ctx); err != nil { // the source may have changed meanwhile
				return err
			}
		}
		c.tellFrame()
	case webrtc.PeerConnectionStateDisconnected:
		c.enter(Disconnected)
		return c.silent(ctx)
	case webrtc.PeerConnectionStateFailed:
		if c.Report().Stages.Connected == 0 {
			return c.setupError()
		}
		c.enter(Disconnected)
		if !c.failing {
			c.failing = true
			c.failed.Reset(failedGrace)
			if err := c.freshServers(ctx, pc); err != nil {
				return err
			}
			return c.restart()
		}
	case webrtc.PeerConnectionStateClosed:
		return ErrEnded
	}
	return nil
}

// onFrame notes the first key frame, from whatever goroutine. Run tells of it: who sends has no time for that.
func (c *Conn) onFrame() {
	c.reached(func(st *Stages) *time.Duration { return &st.Frame })
	c.poke()
}

func (c *Conn) tellFrame() {
	c.mu.Lock()
	tell := c.stages.Frame != 0 && !c.framed
	c.mu.Unlock()
	if !tell {
		return
	}
	c.framed = true
	if c.o.OnFrame != nil {
		c.o.OnFrame()
	}
}

// setupError says how far a connection came that did not come about.
func (c *Conn) setupError() error {
	r := c.Report()
	switch {
	case r.Stages.Answer == 0 && c.o.Offer:
		return fmt.Errorf("no answer to our offer in %v; hint: is the other side there, and does it take offers?", c.o.SetupTimeout)
	case r.Stages.Answer == 0:
		return fmt.Errorf("no offer in %v", c.o.SetupTimeout)
	case r.Stages.ICE == 0 && c.o.RelayOnly && !c.relays():
		return errors.New("no TURN server gave us a relay, and no other path is allowed; hint: is UDP and TCP to the servers open, and is there room for one more session?")
	case r.Stages.ICE == 0:
		return errors.New("ice found no way to the remote; hint: is UDP blocked, is a TURN server needed?")
	}
	return errors.New("the dtls handshake did not end")
}

// policy is which kinds of candidates we gather.
func (c *Conn) policy() webrtc.ICETransportPolicy {
	switch {
	case c.o.RelayOnly:
		return webrtc.ICETransportPolicyRelay
	case c.o.NoHost:
		return webrtc.ICETransportPolicyNoHost
	}
	return webrtc.ICETransportPolicyAll
}

// relays says whether we have the address of a relay.
func (c *Conn) relays() bool {
	pc := c.connection()
	if pc == nil {
		return false
	}
	d := pc.LocalDescription() // with the candidates so far
	return d != nil && strings.Contains(d.SDP, " typ relay")
}

// fail ends the connection from another goroutine than Run's.
func (c *Conn) fail(err error) {
	select {
	case c.broken <- err:
	default:
	}
}

func (c *Conn) connection() *webrtc.PeerConnection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pc
}

func (c *Conn) setConnection(pc *webrtc.PeerConnection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pc = pc
}

func (c *Conn) enter(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// reached notes when a stage was reached first, and reports whether this was it.
func (c *Conn) reached(stage func(*Stages) *time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := stage(&c.stages)
	if *d != 0 {
		return false
	}
	*d = max(time.Since(c.began), 1)
	return true
}

func (c *Conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close ends everything that belongs to the connection, and waits for it.
func (c *Conn) close() {
	for _, x := range c.senders() { // which stay, for the last report
		x.end()
	}
	for _, leave := range []func(){c.leave, c.leaveSub} {
		if leave != nil {
			leave()
		}
	}
	if pc := c.connection(); pc != nil {
		c.closeConnection(pc)
	}
}

// closeConnection ends a peer connection and waits for what belongs to it. Pion's close has been seen to hang; nothing else waits for that.
func (c *Conn) closeConnection(pc *webrtc.PeerConnection) {
	c.mu.Lock()
	s := c.sockets
	c.mu.Unlock()
	if s != nil {
		s.close() // ends what is on its way to a TURN server
	}
	if c.route != nil {
		c.route.close()
		c.route = nil
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = pc.GracefulClose()
		c.sendersW.Wait()
	}()
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		c.o.Log.Error("closing a peer connection hangs; going on without")
	}
}
