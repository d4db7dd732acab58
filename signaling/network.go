package signaling

import (
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// settle is how long after the last change of a network that is coming up a try is worth making.
const settle = 1200 * time.Millisecond

// NetworkChanged says that this host has another address or route, or has slept. A client that waits tries again as
// soon as the network has settled, however long it would have waited; one that is connected finds out within seconds
// whether it still is. It never blocks.
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

// probeWithin is how long a pong may take after a change of the network. It is short: sessions whose path is gone wait
// for this connection.
const probeWithin = 3 * time.Second

// probe pings now and shortens the wait for a sign of life to that of a pong. A connection from an address that packets
// to the service no longer leave from is not worth even that.
func (s *session) probe() {
	if elsewhere(s.conn.NetConn()) {
		s.conn.Close() // the reader says why
		return
	}
	deadline := time.Now().Add(probeWithin)
	_ = s.conn.SetReadDeadline(deadline)
	if s.conn.WriteControl(websocket.PingMessage, nil, deadline) != nil {
		s.conn.Close() // the reader says why
	}
}

// elsewhere says whether a connection made now would be from another address of this host. Nothing is sent.
func elsewhere(conn net.Conn) bool {
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	remote, isTCP := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !isTCP {
		return false
	}
	way, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: remote.IP, Port: remote.Port, Zone: remote.Zone})
	if err != nil {
		return false // there is no way at all; the next change may bring one
	}
	defer way.Close()
	return !way.LocalAddr().(*net.UDPAddr).IP.Equal(local.IP)
}
