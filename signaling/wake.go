package signaling

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// stopped is how late a deadline is noticed by a process that was stopped meanwhile, and not only busy.
const stopped = time.Second

// wakeConn is a connection whose read deadline does not count the time in which this process was stopped (SIGSTOP, a
// frozen virtual machine): what came meanwhile waits in the socket, and is read. Without that the first thing that a
// process does on waking is to close a connection full of offers.
type wakeConn struct {
	net.Conn

	mu       sync.Mutex
	deadline time.Time // for reading; guarded by mu

	woke atomic.Bool // it was stopped beyond a deadline; whoever reports it clears it
}

// waking returns a dial function whose connections are stored in to.
func waking(dial func(ctx context.Context, network, addr string) (net.Conn, error), to **wakeConn) func(context.Context,
	string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		*to = &wakeConn{Conn: conn}
		return *to, nil
	}
}

func (c *wakeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.overslept() {
		return n, err
	}
	c.woke.Store(true)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := c.SetReadDeadline(time.Now().Add(probeWithin)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// overslept reports whether the deadline passed so long ago that nobody was there to notice it.
func (c *wakeConn) overslept() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.deadline.IsZero() && time.Since(c.deadline) >= stopped
}

func (c *wakeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

func (c *wakeConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetDeadline(t)
}
