package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

// session is one peer connection with one client, from offer to end.
type session struct {
	id     string // short, for the log
	client string
	conn   *peer.Conn
	log    *slog.Logger
	began  time.Time
	cancel context.CancelFunc
	via    *clientRun    // over which the client was met
	sent   atomic.Uint64 // signals
	again  bool          // an offer to somebody who did not take the one before

	mu     sync.Mutex // guards the fields below
	kind   string     // kind of the reason, one of a few words
	anew   bool       // the other side has started anew, and is there
	reason string     // why it ended
}

// ended is a finished session.
type ended struct {
	client, id, reason string
	at                 time.Time
	lasted             time.Duration
}

const historyLength = 10

// begin starts a session. first holds the signals that have arrived already.
func (ch *channel) begin(ctx context.Context, wg *sync.WaitGroup, client string, offerer bool, first ...peer.Signal) {
	s := &session{id: shortID(), client: client, began: time.Now(), via: ch.running}
	if o := ch.offers[client]; offerer && o != nil {
		s.again = o.failures > 1
	}
	s.log = ch.log.With("client", clientName(client), "session", s.id)
	sessionCtx, cancel := ch.sessionContext(ctx)
	s.cancel = cancel
	now, dialed, opened := ch.now(), ch.dialed, ch.opened
	c := peer.Config{
		Engine: now.network.engine, Offer: offerer, Receive: now.cfg.Role == config.Viewer,
		// When both offer at once the viewer's offer stands, since most viewers can do nothing but offer.
		Polite: now.cfg.Role == config.Master,
		Sink:   ch.sink, Epoch: ch.epoch, Certificates: &ch.certs,
		ICEServers: func(ctx context.Context) []peer.ICEServer {
			now := ch.now()
			return now.network.iceServers(ctx, now.client, s.log)
		},
		RelayOnly:    now.network.webrtc.ICETransportPolicy == "relay",
		NoHost:       now.network.webrtc.ICETransportPolicy == "no-host",
		Trusted:      now.cfg.Role == config.Viewer, // the master is our own
		SetupTimeout: now.network.limits.SetupTimeout, IdleTimeout: now.network.limits.IdleTimeout,
		Log: s.log,
		Send: func(signal peer.Signal) {
			if err := ch.send(signal, s.via, client, s.correlation()); err != nil {
				s.log.Error("not sent", "err", err)
				if _, isCandidate := signal.(peer.Candidate); !isCandidate {
					s.stop(err.Error())
				}
			}
		},
		NoData:    now.network.crashes.Safe() != "",
		Signaling: func() (start, end time.Time) { return dialed, opened },
		OnConnected: func() {
			now.network.crashes.joined()
			r := s.conn.Report()
			s.log.Info("peer connected", "local", r.Local, "remote", r.Remote,
				"after", r.Stages.Connected.Round(time.Millisecond))
		},
		OnFrame: func() {
			r := s.conn.Report()
			ch.times.add(stages(r.Stages))
			s.log.Info("first key frame", "after", r.Stages)
		},
	}
	if ch.source != nil {
		c.Broadcast = ch.source.broadcast
	}
	if now.cfg.Role == config.Master && client == storageService {
		c.Needs = storedCodecs
	}
	var err error
	if s.conn, err = peer.New(c); err != nil {
		s.log.Error("no session", "err", err)
		s.cancel()
		return
	}
	for _, signal := range append(first, ch.early.take(client, offerIn(first))...) {
		s.conn.Handle(signal)
	}
	ch.mu.Lock()
	ch.sessions[client] = s
	ch.mu.Unlock()
	wg.Go(func() {
		err := s.conn.Run(sessionCtx)
		s.over(err, sessionCtx)
		select {
		case ch.ended <- s:
		case <-ctx.Done():
		}
	})
}

// sessionContext returns a context that ends with the channel, or after limits.max_session.
func (ch *channel) sessionContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if d := ch.now().network.limits.MaxSession; d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return context.WithCancel(ctx)
}

// over logs the end of the session.
func (s *session) over(err error, ctx context.Context) {
	s.mu.Lock()
	r := s.conn.Report()
	var refused *peer.RefusedError
	s.kind = "ended_by_us"
	switch {
	case s.reason != "":
	case err != nil:
		s.reason = err.Error()
		s.anew = errors.Is(err, peer.ErrAnother)
		switch {
		case errors.Is(err, peer.ErrEnded):
			s.kind = "closed"
		case errors.As(err, &refused):
			s.kind = "refused"
		case r.Stages.Connected == 0:
			s.kind = "never_connected"
		default:
			s.kind = "failed"
		}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.reason = "limits.max_session is over"
	default:
		s.reason = "the agent stops"
	}
	reason, kind := s.reason, s.kind
	s.mu.Unlock()
	s.cancel()
	var received, dropped uint64
	for _, t := range r.Sending {
		dropped += t.Dropped
	}
	for _, t := range r.Receiving {
		received += t.Bytes
	}
	level := slog.LevelInfo
	if kind == "refused" { // worth a look: the client is not a viewer, or decodes nothing that the source delivers
		level = slog.LevelWarn
	}
	if kind == "never_connected" && s.again { // "offering again" tells how long that has been so
		level = slog.LevelDebug
	}
	s.log.Log(ctx, level, "peer gone", "reason", reason, "after", time.Since(s.began).Round(time.Millisecond),
		"connected", r.Stages.Connected != 0,
		"sent_bytes", r.Sent, "received_bytes", received, "dropped_frames", dropped)
}

// why returns why it ended.
func (s *session) why() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// stop ends a session. The first reason is kept for its last log line.
func (s *session) stop(reason string) {
	s.mu.Lock()
	if s.reason == "" {
		s.reason = reason
	}
	s.mu.Unlock()
	s.cancel()
}

// end removes a session and stops it, without waiting for it.
func (ch *channel) end(s *session, reason string) {
	s.stop(reason)
	ch.forget(s)
}

func (ch *channel) forget(s *session) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.sessions[s.client] == s {
		delete(ch.sessions, s.client)
	}
}

// onEnded removes a session that is over.
func (ch *channel) onEnded(ctx context.Context, s *session) {
	ch.forget(s)
	s.mu.Lock()
	e := ended{client: s.client, id: s.id, reason: s.reason, at: time.Now(), lasted: time.Since(s.began)}
	kind := s.kind
	s.mu.Unlock()
	ch.mu.Lock()
	ch.endedBy[kind]++
	ch.history = append([]ended{e}, ch.history[:min(len(ch.history), historyLength-1)]...)
	ch.mu.Unlock()
	ch.offerAgain(ctx, s)
	ch.storeAgain(s)
}

func shortID() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// clientName returns the name of a client for people.
func clientName(id string) string {
	if id == master {
		return "master"
	}
	return id
}
