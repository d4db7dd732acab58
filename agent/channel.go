package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/kvsagent/kvsagent/internal/pulse"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// master is the client ID under which a viewer knows the other side: KVS names no sender for the master's messages.
const master = ""

// channel is one signaling channel of the config, in our role, with its sessions. Only its goroutine starts and ends
// sessions.
type channel struct {
	name     string
	settings atomic.Pointer[settings]
	wanted   link       // of the newest signaling client; owned by Agent.Run
	source   *source    // nil for a viewer that sends nothing
	sink     media.Sink // receives the frames; nil only counts them
	epoch    time.Time  // PTS zero of received frames, across all sessions
	times    *stageTimes
	log      *slog.Logger
	sending  sync.Mutex        // held while a message is sent, so that none goes to a client that has handed over
	certs    peer.Certificates // of this channel alone, so that viewers cannot tell which channels share a host

	updates  chan update
	events   chan clientEvent
	ended    chan *session
	ripe     chan string // client IDs whose held offer may be taken now
	due      chan string // client IDs to which an offer is due
	requests chan offerRequest
	told     chan *refusal // refusals that are over
	done     chan struct{} // closed when run has returned
	beat     *pulse.Pulse  // of run
	claim    claim

	life   context.Context // from start to stop; a fault does not end it
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Owned by run.
	early      earlyCandidates
	offerLimit offerLimit
	held       map[string]heldOffer
	offers     map[string]*standingOffer
	refusals   map[string]*refusal // by client ID
	dialed     time.Time           // when that connection was begun
	opened     time.Time           // when a signaling connection was last opened

	mu       sync.Mutex // guards the fields below, which run writes and Report reads
	running  *clientRun // of settings
	next     *clientRun // takes over when it is connected; nil: none
	sessions map[string]*session
	history  []ended           // newest first
	endedBy  map[string]uint64 // finished sessions, by kind of reason
	ignored  uint64            // messages that could not be used

	networkAt time.Time // the last change of this host's network; zero means never
}

func newChannel(name string, c config.Channel, n *network, src *source, times *stageTimes,
	log *slog.Logger) (*channel, error) {
	ch := &channel{
		name: name, source: src, times: times, epoch: time.Now(),
		log:     slog.New(newLogLimit(log.Handler())).With("channel", name),
		updates: make(chan update), events: make(chan clientEvent, 64),
		ended: make(chan *session, 16), ripe: make(chan string, 16),
		due: make(chan string, 16), requests: make(chan offerRequest), told: make(chan *refusal, refusalsMost),
		done: make(chan struct{}), beat: pulse.New(),
		early: earlyCandidates{limits: n.limits.Signaling}, offerLimit: offerLimit{limits: n.limits.Offers},
		held: map[string]heldOffer{}, sessions: map[string]*session{}, endedBy: map[string]uint64{},
		offers: map[string]*standingOffer{}, refusals: map[string]*refusal{}, wanted: linkOf(c, n),
	}
	client, err := ch.newClient(c, n)
	if err != nil {
		return nil, err
	}
	ch.settings.Store(&settings{cfg: c, network: n, client: client, link: ch.wanted})
	for _, id := range ch.offerTo() {
		ch.offers[id] = &standingOffer{}
	}
	return ch, nil
}

// offerTo returns the clients to which we offer instead of waiting for an offer of theirs.
func (ch *channel) offerTo() []string {
	cfg := ch.now().cfg
	if cfg.Role == config.Master {
		return cfg.OfferTo
	}
	if cfg.WaitForOffer {
		return nil
	}
	return []string{master}
}

func (ch *channel) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ch.life, ch.cancel = ctx, cancel
	now := ch.now()
	ch.running = ch.connect(ctx, now.client, now.link)
	ch.wg.Go(func() {
		defer close(ch.done)
		ch.supervise(ctx)
	})
}

func (ch *channel) stop() {
	ch.cancel()
	ch.wg.Wait()
	ch.claim.drop()
}

// supervise runs the channel until ctx is done. A fault of ours ends its sessions; it goes on without them, after a
// while that grows, and others notice nothing.
func (ch *channel) supervise(ctx context.Context) {
	for failures := 1; ctx.Err() == nil; failures++ {
		func() {
			defer fault.Contain(ch.log, "channel", nil)
			ch.run(ctx)
		}()
		ch.startOver()
		ch.beat.Wait(ctx, jittered(time.Second, 30*time.Second, failures))
	}
}

// startOver forgets what a run that has ended left.
func (ch *channel) startOver() {
	ch.held, ch.refusals = map[string]heldOffer{}, map[string]*refusal{}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.sessions = map[string]*session{}
}

func (ch *channel) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	defer ch.stopOffering()
	defer ch.dropHeld()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch.beat.C:
		case e := <-ch.events:
			ch.on(ctx, &sessions, e)
		case u := <-ch.updates:
			ch.change(ctx, u)
		case id := <-ch.due:
			ch.offer(ctx, &sessions, id)
		case r := <-ch.told:
			if ch.refusals[r.client] == r {
				delete(ch.refusals, r.client)
			}
		case want := <-ch.requests:
			ch.offerNow(ctx, &sessions, want)
		case s := <-ch.ended:
			ch.onEnded(ctx, s)
		case id := <-ch.ripe:
			if h, ok := ch.held[id]; ok {
				ch.onOffer(ctx, &sessions, id, ch.sessions[id], h.offer)
			}
		}
	}
}

func (ch *channel) on(ctx context.Context, wg *sync.WaitGroup, e clientEvent) {
	from := e.from
	switch e := e.Event.(type) {
	case signaling.Connected:
		if ch.next == from {
			ch.takeOver()
		}
		ch.opened = time.Now()
		if ch.dialed = from.dialing; ch.dialed.IsZero() { // another WebSocket, before the end of the last
			ch.dialed = ch.opened
		}
		from.dialing = time.Time{}
		ch.startOffering(ctx)
		ch.reconnected()
	case signaling.Disconnected: // running sessions do not need signaling
		from.dialing = time.Now()
		if taken := (*TakenError)(nil); errors.As(e.Err, &taken) && ch.now().network.taken != nil {
			ch.now().network.taken(e.Err)
		}
	case signaling.Received:
		if ch.foreign(from, e.Message.ClientID) {
			ch.ignore("message ignored", "from", e.Message.ClientID, "err", "it is about the channel that was before")
			return
		}
		ch.onMessage(ctx, wg, e.Message)
	case signaling.Refused:
		ch.onRefused(ctx, e)
	case signaling.ICEServersChanged:
		ch.moveRelayed()
	}
}

func (ch *channel) onMessage(ctx context.Context, wg *sync.WaitGroup, m signaling.Message) {
	from := m.ClientID
	signals, err := toSignals(m)
	if err != nil {
		ch.ignore("message ignored", "from", from, "err", err)
		if m.Type == signaling.SDPOffer && ch.sessions[from] == nil {
			ch.turnDown(from, "")
		}
		return
	}
	for _, signal := range signals {
		ch.onSignal(ctx, wg, from, signal)
	}
}

func (ch *channel) onSignal(ctx context.Context, wg *sync.WaitGroup, from string, signal peer.Signal) {
	s := ch.sessions[from]
	switch signal := signal.(type) {
	case peer.Offer:
		if wait := backlog - time.Since(ch.opened); wait > 0 {
			ch.hold(ctx, from, signal, wait)
			return
		}
		ch.onOffer(ctx, wg, from, s, signal)
	case peer.Answer:
		if s == nil {
			ch.ignore("answer ignored", "from", from, "err", "there is no session for it")
			return
		}
		s.conn.Handle(signal)
	case peer.Candidate:
		_, held := ch.held[from]
		if r := ch.refusals[from]; r != nil && s == nil && !held {
			r.conn.Handle(signal)
			return
		}
		if s == nil || held {
			if now := ch.now(); now.cfg.Role == config.Viewer || now.network.engine.Useful(signal) {
				ch.early.keep(from, signal, time.Now())
			}
			return
		}
		s.conn.Handle(signal)
	}
}

// backlog is how long after connecting the newest offer of each client is waited for: the service keeps offers that
// came while nobody listened, and the answer to one of a page that is gone would be taken for that to the next.
const backlog = 150 * time.Millisecond

// onOffer passes an offer to the session that it belongs to, or begins a session.
func (ch *channel) onOffer(ctx context.Context, wg *sync.WaitGroup, from string, s *session, o peer.Offer) {
	if !ch.now().network.crashes.joining(ch.name, from) {
		ch.ignore("offer ignored", "from", from, "err", "the agent has crashed with offers like this; safe mode")
		return
	}
	if crashAt != nil {
		crashAt(ch.name)
	}
	if err := ch.now().network.engine.CheckOffer(o.SDP); err != nil {
		ch.ignore("offer ignored", "from", from, "err", err)
		if s == nil { // else a refusal could end what plays
			ch.turnDown(from, o.SDP)
		}
		return
	}
	waiting := ch.held[from].waiting
	if waiting.IsZero() {
		reason, wait := ch.offerLimit.take(from, time.Now())
		switch {
		case wait > 0:
			ch.hold(ctx, from, o, wait)
			return
		case reason != "":
			ch.ignore("offer ignored", "from", from, "err", reason)
			ch.dropOffer(from)
			return
		}
	}
	delete(ch.held, from)
	if s != nil {
		if s.conn.Takes(o.SDP) {
			// Its candidates may have come while it was held.
			for _, signal := range append([]peer.Signal{o}, ch.early.take(from, o.SDP)...) {
				s.conn.Handle(signal)
			}
			return
		}
		ch.end(s, "replaced by a new offer of the same client")
	}
	if code, reason := ch.full(); reason != "" {
		if code == peer.ReasonBusy && ch.holdForRoom(ctx, from, o, waiting) {
			return
		}
		ch.refuse(ctx, wg, from, o, code, reason)
		return
	}
	if r := ch.refusals[from]; r != nil {
		r.stop()
	}
	ch.begin(ctx, wg, from, false, o)
}

// full returns why no further viewer is accepted, as the viewer is told it and for the log, or "" when there is room.
func (ch *channel) full() (code peer.Reason, reason string) {
	now := ch.now()
	if now.cfg.Role != config.Master {
		return "", ""
	}
	pending := 0
	for _, s := range ch.sessions {
		if s.conn.Report().Stages.Connected == 0 {
			pending++
		}
	}
	switch {
	case len(ch.sessions) >= now.cfg.MaxViewers:
		return peer.ReasonViewerLimit, fmt.Sprintf("%d viewers are connected, which is max_viewers", len(ch.sessions))
	case pending > 0 && now.network.crashes.Safe() != "":
		return peer.ReasonBusy, "a viewer is connecting, and in safe mode they come one at a time"
	case pending >= now.network.limits.MaxPending:
		return peer.ReasonBusy, fmt.Sprintf("%d viewers are connecting, which is limits.max_pending", pending)
	}
	return "", ""
}

// moveRelayed moves the sessions that use a TURN server, since one is about to shut down. KVS does not say which
// server, nor of which side.
func (ch *channel) moveRelayed() {
	const relay = "relay"
	for _, s := range ch.sessions {
		if r := s.conn.Report(); r.Local == relay || r.Remote == relay {
			s.log.Info("moving to other turn servers", "local", r.Local, "remote", r.Remote)
			s.conn.MigrateRelay()
		}
	}
}

// changeLasts is how long after a network change messages may still have been lost with the signaling connection.
const changeLasts = time.Minute

// networkChanged tells the sessions about a network change.
func (ch *channel) networkChanged() {
	ch.mu.Lock()
	ch.networkAt = time.Now()
	ch.mu.Unlock()
	for _, s := range ch.snapshot() {
		s.conn.NetworkChanged()
	}
}

// reconnected tells the sessions again once a signaling connection made after the change is up.
func (ch *channel) reconnected() {
	ch.mu.Lock()
	at := ch.networkAt
	ch.mu.Unlock()
	if at.IsZero() || time.Since(at) > changeLasts {
		return
	}
	for _, s := range ch.snapshot() {
		s.conn.NetworkChanged()
	}
}

// send passes a signal to the service, under a correlation ID, "" for one that nobody looks for. The recipient was met
// over via.
func (ch *channel) send(signal peer.Signal, via *clientRun, to, correlation string) error {
	m, err := toMessage(signal, to)
	if err != nil {
		return err
	}
	m.CorrelationID = correlation
	ch.sending.Lock()
	defer ch.sending.Unlock()
	return ch.reaches(via).Send(m)
}

func (ch *channel) ignore(message string, attrs ...any) {
	ch.mu.Lock()
	ch.ignored++
	ch.mu.Unlock()
	ch.log.Warn(message, attrs...)
}

// snapshot returns the current sessions, oldest first.
func (ch *channel) snapshot() []*session {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return slices.SortedFunc(maps.Values(ch.sessions), func(a, b *session) int { return a.began.Compare(b.began) })
}
