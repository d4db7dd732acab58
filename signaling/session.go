package signaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	pingEvery  = 15 * time.Second
	pongWithin = 10 * time.Second // after a ping
	writeLimit = 10 * time.Second
	goodbye    = time.Second // for the close frame of a session that we end
)

// session is one WebSocket. It is dead after the first error of any of its methods; make another. Its owner must read
// until an error and keep keepAlive running.
type session struct {
	conn   *websocket.Conn
	wake   *wakeConn // beneath conn
	opened time.Time
	gen    int
	pace   pace // owned by the writer
	once   sync.Once
}

// dial opens a WebSocket in this client's role.
func (c *Client) dial(ctx context.Context, ch channel) (*session, error) {
	if err := c.pace.take(ctx); err != nil {
		return nil, &opError{connectOp(c.opts.Role), err}
	}
	return c.dialAs(ctx, ch, c.opts.Role, c.opts.ClientID)
}

func connectOp(role Role) string {
	if role == Viewer {
		return "ConnectAsViewer"
	}
	return "ConnectAsMaster"
}

// dialAs opens a WebSocket. A refused upgrade is returned as an *APIError.
func (c *Client) dialAs(ctx context.Context, ch channel, role Role, id string) (*session, error) {
	op := connectOp(role)
	params := url.Values{"X-Amz-ChannelARN": {ch.arn}}
	if role == Viewer {
		params.Set("X-Amz-ClientId", id)
	}
	keys, err := c.control.keys(ctx)
	if err != nil {
		return nil, &opError{op, err}
	}
	address, err := presign(ctx, keys, ch.wss, params, service, c.opts.Region, c.clock.signing())
	if err != nil {
		return nil, &opError{op, err}
	}
	var wake *wakeConn
	d := websocket.Dialer{
		NetDialContext:   waking(c.opts.DialContext, &wake),
		TLSClientConfig:  c.opts.tls(),
		Proxy:            c.opts.Proxy,
		HandshakeTimeout: callTimeout,
	}
	conn, resp, err := d.DialContext(ctx, address, nil)
	if resp != nil {
		c.clock.learn(resp.Header)
	}
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the dialler kept the first KiB
			return nil, newAPIError(op, resp, body)
		}
		return nil, &opError{op, err}
	}
	conn.SetReadLimit(maxFrame)
	s := &session{conn: conn, wake: wake, opened: c.opts.Now()}
	conn.SetPongHandler(func(string) error { return s.alive() })
	return s, nil
}

// alive extends the read deadline: something must arrive within one ping and its pong. A clock that jumps does not
// affect it.
func (s *session) alive() error {
	return s.conn.SetReadDeadline(time.Now().Add(pingEvery + pongWithin))
}

// receive returns the next frame.
func (s *session) receive() ([]byte, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	_, data, err := s.conn.ReadMessage()
	return data, err
}

// send writes one text frame.
func (s *session) send(frame []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.TextMessage, frame)
}

// keepAlive pings until ctx is done or the session is dead. The pings also prevent the service's idle timeout of ten
// minutes.
func (s *session) keepAlive(ctx context.Context) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pongWithin)); err != nil {
			s.conn.Close()
			return
		}
	}
}

// close ends the session. The reader then gets an error.
func (s *session) close() {
	s.once.Do(func() {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(goodbye)) // a courtesy
		s.conn.Close()
	})
}

// lostError is the end of an open session.
type lostError struct {
	err error
	age time.Duration
	at  time.Time
}

func (e *lostError) Error() string {
	return fmt.Sprintf("connection lost after %v: %s", e.age.Round(time.Second), e.reason())
}

func (e *lostError) Unwrap() error { return e.err }

func (e *lostError) reason() string {
	var timeout interface{ Timeout() bool }
	switch {
	case e.code() == websocket.CloseAbnormalClosure, errors.Is(e.err, io.EOF), errors.Is(e.err, io.ErrUnexpectedEOF):
		return "the service or the network dropped it"
	case e.code() != 0:
		return strings.TrimPrefix(e.err.Error(), "websocket: ")
	case errors.As(e.err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("nothing heard for %v", pingEvery+pongWithin)
	}
	return strings.TrimPrefix(e.err.Error(), "websocket: ")
}

// code returns the code of the close frame (RFC 6455 section 7.4), 0 without one.
func (e *lostError) code() int {
	var closed *websocket.CloseError
	if errors.As(e.err, &closed) {
		return closed.Code
	}
	return 0
}
