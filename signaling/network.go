package signaling

import (
	"time"

	"github.com/gorilla/websocket"
)

// settle is how long after the last change of a network that is coming up a try is worth making.
const settle = 1200 * time.Millisecond

// NetworkChanged says that this host has another address or route, or has slept. A client that waits tries again as soon as the network has
// settled, however long it would have waited; one that is connected finds out within ten seconds whether it still is. It never blocks.
func (c *Client) NetworkChanged() {
	select {
	case c.network <- struct{}{}:
	default:
	}
}

// onNetwork is NetworkChanged, in the loop. Each change puts the try off again until they have ended.
func (r *run) onNetwork() {
	switch {
	case r.cur != nil:
		s := r.cur
		r.wg.Go(s.probe)
	case !r.dialing:
		r.retrier.ended(steady) // what failed before says nothing about the new network
		r.dialAt.Reset(settle)
		r.c.update(func(p *Report) { r.c.retryAt = r.c.opts.Now().Add(settle) })
	}
}

// probe pings now and shortens the wait for a sign of life to that of a pong.
func (s *session) probe() {
	deadline := time.Now().Add(pongWithin)
	_ = s.conn.SetReadDeadline(deadline)
	if s.conn.WriteControl(websocket.PingMessage, nil, deadline) != nil {
		s.conn.Close() // the reader says why
	}
}
