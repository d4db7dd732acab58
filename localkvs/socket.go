package localkvs

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
)

const (
	closeGoingAway = websocket.CloseGoingAway // the only code the service was seen to use
	writeTimeout   = 10 * time.Second
	closeTimeout   = time.Second // for the client to answer a close
)

// socket is one WebSocket connection of a client.
type socket struct {
	channel *channel
	client  string // the viewer's client id; masterMailbox for the master
	remote  string
	since   time.Time
	ws      *websocket.Conn

	offers, answers, candidates *rate.Limiter // used by the reader only

	wake    chan struct{} // one slot: there is something to write, or the connection is over
	over    chan ending   // one slot: how the connection should end
	ended   atomic.Bool   // nothing more is read or queued
	control [][]byte      // frames for this connection alone; the channel's mutex guards it
}

// ending is how the service ends a connection.
type ending struct {
	code   int // of the close frame; 0 for none
	text   string
	reset  bool // with a TCP reset
	silent bool // not at all: the connection stays, and nothing is read or answered any more
}

func newSocket(c *channel, client, remote string, l Limits, now time.Time) *socket {
	return &socket{
		channel: c, client: client, remote: remote, since: now,
		offers: newLimiter(l.SDPRate), answers: newLimiter(l.SDPRate), candidates: newLimiter(l.CandidateRate),
		wake: make(chan struct{}, 1), over: make(chan ending, 1),
	}
}

// role is MASTER or VIEWER.
func (sk *socket) role() string {
	if sk.client == masterMailbox {
		return roleMaster
	}
	return roleViewer
}

// end asks the writer to end the connection after the frames that are already queued. The first call decides how.
func (sk *socket) end(e ending) {
	sk.ended.Store(true)
	select {
	case sk.over <- e:
	default:
	}
}

// allow counts a message against the connection's rates. (KVS dev guide, "Quotas": SendSdpOffer, SendSdpAnswer,
// SendIceCandidate.)
func (sk *socket) allow(action string) bool {
	switch action {
	case sdpOffer:
		return sk.offers.Allow()
	case sdpAnswer:
		return sk.answers.Allow()
	}
	return sk.candidates.Allow()
}

// serveSocket reads and writes until the connection is over.
func (s *Server) serveSocket(ctx context.Context, sk *socket) {
	defer sk.ws.Close()
	// A client that does not read must not hold up the end of Run.
	defer context.AfterFunc(ctx, func() { sk.ws.NetConn().SetWriteDeadline(time.Now().Add(closeTimeout)) })()

	gone := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { s.write(ctx, sk, gone) })
	err := s.read(sk)
	close(gone)
	sk.channel.leave(sk)
	s.opts.Log.Info("disconnected", "channel", sk.channel.name, "client", sk.name(), "err", err,
		"after", time.Since(sk.since).Round(time.Millisecond))
}

// name returns the client's name for logs and the page.
func (sk *socket) name() string {
	if sk.client == masterMailbox {
		return "(master)"
	}
	return sk.client
}

// read handles what the client sends until the connection fails or is ended.
func (s *Server) read(sk *socket) error {
	idle := s.opts.Limits.Idle
	touch := func() {
		if idle > 0 && !sk.ended.Load() {
			sk.ws.SetReadDeadline(time.Now().Add(idle))
		}
	}
	sk.ws.SetReadLimit(maxFrame)
	sk.ws.SetPingHandler(func(data string) error {
		if sk.ended.Load() {
			return nil
		}
		if !s.opts.Readings.PingsAreIdle {
			touch()
		}
		// A failure shows in the next read.
		sk.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writeTimeout))
		return nil
	})
	touch()
	for {
		kind, frame, err := sk.ws.ReadMessage()
		switch {
		case timedOut(err) && !sk.ended.Load():
			s.closeFrame(sk, ending{code: closeGoingAway, text: "idle"})
			return err
		case errors.Is(err, websocket.ErrReadLimit): // the library has answered it with close code 1009
			sk.drain()
			return err
		case err != nil:
			return err
		case sk.ended.Load():
			continue
		case kind == websocket.BinaryMessage:
			sk.end(ending{code: websocket.CloseUnsupportedData, text: "text frames only"})
			continue
		}
		touch()
		s.receive(sk, frame)
	}
}

// drain discards, for a moment, what the client still sends: closing with unread bytes sends a reset, which may
// overtake the close frame.
func (sk *socket) drain() {
	c := sk.ws.NetConn()
	c.SetReadDeadline(time.Now().Add(closeTimeout))
	io.CopyN(io.Discard, c, 1<<20)
}

// timedOut reports whether a read hit its deadline. The WebSocket library keeps only this much of the error.
func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// write writes the frames for this connection, sends GO_AWAY when it is old, and ends it. It returns when the reader is
// gone, or when reading has been made to fail.
func (s *Server) write(ctx context.Context, sk *socket, gone <-chan struct{}) {
	defer sk.ws.NetConn().Close()
	age := newTimer(s.opts.Limits.Life)
	defer age.Stop()
	delay := newTimer(-1)
	defer delay.Stop()
	warned := s.opts.Readings.OnlyClose
	for {
		frame, wait := sk.channel.next(sk, s.now())
		if frame != nil {
			if err := s.writeFrame(sk, frame); err != nil {
				return
			}
			continue
		}
		if wait > 0 {
			delay.Reset(wait)
		}
		select {
		case <-gone:
			return
		case <-ctx.Done():
			s.finish(ctx, sk, ending{code: closeGoingAway}, gone)
			return
		case e := <-sk.over:
			s.finish(ctx, sk, e, gone)
			return
		case <-sk.wake:
		case <-delay.C:
		case <-age.C:
			if warned {
				s.finish(ctx, sk, ending{code: closeGoingAway}, gone)
				return
			}
			warned = true
			sk.channel.tell(sk, goAway())
			age.Reset(max(0, s.opts.Limits.Grace))
		}
	}
}

// newTimer returns a timer that fires after d, or never when d is negative.
func newTimer(d time.Duration) *time.Timer {
	if d >= 0 {
		return time.NewTimer(d)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (s *Server) writeFrame(sk *socket, frame []byte) error {
	sk.ws.SetWriteDeadline(time.Now().Add(writeTimeout))
	return sk.ws.WriteMessage(websocket.TextMessage, frame)
}

// finish ends the connection as asked. After a close frame it gives the reader a moment to get the client's answer:
// closing at once might send a reset that overtakes the frame.
func (s *Server) finish(ctx context.Context, sk *socket, e ending, gone <-chan struct{}) {
	sk.ended.Store(true)
	switch {
	case e.silent:
		select {
		case <-gone:
		case <-ctx.Done():
		}
	case e.reset:
		if c, ok := tcpConn(sk.ws.NetConn()); ok {
			c.SetLinger(0) // close sends RST
			c.Close()
		}
	case e.code != 0:
		s.closeFrame(sk, e)
		patience := time.NewTimer(closeTimeout)
		defer patience.Stop()
		select {
		case <-gone:
		case <-patience.C:
		}
	}
}

func (s *Server) closeFrame(sk *socket, e ending) {
	sk.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(e.code, e.text),
		time.Now().Add(closeTimeout))
}

func tcpConn(c net.Conn) (*net.TCPConn, bool) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if s, ok := c.(*slowConn); ok {
		c = s.Conn
	}
	t, ok := c.(*net.TCPConn)
	return t, ok
}
