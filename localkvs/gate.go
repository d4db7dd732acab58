package localkvs

import (
	"io"
	"net"
	"sync"
)

const maxTURNConns = 1000 // TCP and TLS connections to TURN

// gate stands between TURN and the network. It can be shut, and it knows every connection, so that all end with the
// server.
type gate struct {
	down func() bool

	mu     sync.Mutex // guards what is below
	open   map[net.Conn]struct{}
	closed bool
}

func (g *gate) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.open) >= maxTURNConns || g.down() {
		return false
	}
	g.open[c] = struct{}{}
	return true
}

func (g *gate) leave(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.open {
		c.Close()
	}
}

// gatedPackets drops packets in both directions while the gate is shut: a dead server relays nothing, even to clients
// that have not noticed.
type gatedPackets struct {
	net.PacketConn
	gate *gate
}

func (c gatedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.gate.down() {
			return n, from, err
		}
	}
}

func (c gatedPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.gate.down() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// gatedListener closes new connections while the gate is shut.
type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.gate.enter(c) {
			return gatedConn{c, l.gate}, nil
		}
		c.Close()
	}
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.gate.down() {
		return 0, io.EOF
	}
	return n, err
}

func (c gatedConn) Write(b []byte) (int, error) {
	if c.gate.down() {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

func (c gatedConn) Close() error {
	c.gate.leave(c.Conn)
	return c.Conn.Close()
}
