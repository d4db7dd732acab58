package signaling

import (
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// settle is how long to wait after the last network change before another attempt is worthwhile.
const settle = 1200 * time.Millisecond

// NetworkChanged tells the client that this host has another address or route, or was asleep. A waiting client tries
// again as soon as the network has settled. A connected client checks within seconds whether it still is.
// NetworkChanged never blocks.
func (c *Client) NetworkChanged() {
	select {
	case c.network <- struct{}{}:
	default:
	}
}

// onNetwork handles NetworkChanged in the loop. Each further change delays the attempt again.
func (r *run) onNetwork() {
	switch {
	case r.cur != nil:
		s := r.cur
		r.wg.Go(s.probe)
	case !r.dialing:
		r.retrier.ended(steady) // earlier failures say nothing about the new network
		r.dialAt.Reset(settle)
		r.c.update(func(p *Report) { r.c.retryAt = r.c.opts.Now().Add(settle) })
	}
}

// probeWithin is how long a pong may take after a network change. It is short, because sessions whose path is gone wait
// for this connection.
const probeWithin = 3 * time.Second

// probe pings now and shortens the read deadline to that of a pong. It closes at once a connection whose local address
// is no longer used for packets to the service.
func (s *session) probe() {
	if elsewhere(s.conn.NetConn()) {
		s.conn.Close() // the reader returns the error
		return
	}
	deadline := time.Now().Add(probeWithin)
	_ = s.conn.SetReadDeadline(deadline)
	if s.conn.WriteControl(websocket.PingMessage, nil, deadline) != nil {
		s.conn.Close() // the reader returns the error
	}
}

// elsewhere reports whether a new connection would use another local address. It sends nothing.
func elsewhere(conn net.Conn) bool {
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	remote, isTCP := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !isTCP {
		return false
	}
	way, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: remote.IP, Port: remote.Port, Zone: remote.Zone})
	if err != nil {
		return false // no route at all; the next change may bring one
	}
	defer way.Close()
	return !way.LocalAddr().(*net.UDPAddr).IP.Equal(local.IP)
}
