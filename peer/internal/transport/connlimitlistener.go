package transport

import (
	"errors"
	"net"
	"sync"
	"time"
)

// connLimitListener is a listener of viewers' TCP connections, so many at a time: whoever reaches the port can open
// them. One too many is closed at once. Pion stops listening for good after an error, so it sees none that passes.
type connLimitListener struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

const tcpConns = 256

// NewConnLimitListener limits a listener.
func NewConnLimitListener(l net.Listener) *connLimitListener {
	return &connLimitListener{Listener: l, room: make(chan struct{}, tcpConns), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *connLimitListener) Accept() (net.Conn, error) {
	var pause retryPause
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause.wait(l.closed) {
				return nil, err
			}
			continue
		}
		pause = retryPause{}
		select {
		case l.room <- struct{}{}:
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			_ = c.Close()
		}
	}
}

// Close implements net.Listener.
func (l *connLimitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
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

// retryPause is the time between two tries of a call that fails: from a millisecond, twice as long each time.
type retryPause struct{ last time.Duration }

const (
	retryFirst = time.Millisecond
	retryMost  = 100 * time.Millisecond
)

// wait waits once. It reports false when closed is closed.
func (p *retryPause) wait(closed <-chan struct{}) bool {
	p.last = min(max(2*p.last, retryFirst), retryMost)
	timer := time.NewTimer(p.last)
	defer timer.Stop()
	select {
	case <-closed:
		return false
	case <-timer.C:
		return true
	}
}
