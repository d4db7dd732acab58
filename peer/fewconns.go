package peer

import (
	"net"
	"sync"
)

// fewConns is a listener of viewers' TCP connections, so many at a time: whoever reaches the port can open them. One too many is closed at once.
type fewConns struct {
	net.Listener
	room chan struct{}
}

const tcpConns = 256

func newFewConns(l net.Listener) *fewConns { return &fewConns{l, make(chan struct{}, tcpConns)} }

// Accept implements net.Listener.
func (l *fewConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			_ = c.Close()
		}
	}
}

type countedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
