package status

import (
	"net"
	"net/http"
	"sync"
)

// conns bounds the connections of a server. When there are too many, the oldest of those that ask for nothing is
// closed: who only holds connections open keeps nobody else out.
type conns struct {
	mu    sync.Mutex // guards the fields below
	all   map[net.Conn]http.ConnState
	order []net.Conn // oldest first
}

// on is an http.Server's ConnState.
func (c *conns) on(conn net.Conn, state http.ConnState) {
	if old := c.note(conn, state); old != nil {
		_ = old.Close()
	}
}

// note keeps the state of a connection, and returns one that has to go.
func (c *conns) note(conn net.Conn, state http.ConnState) (old net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[net.Conn]http.ConnState{}
	}
	switch state {
	case http.StateNew:
		c.order = append(c.order, conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		for i, x := range c.order {
			if x == conn {
				c.order = append(c.order[:i], c.order[i+1:]...)
				break
			}
		}
		return nil
	}
	c.all[conn] = state
	if len(c.all) <= maxConns {
		return nil
	}
	for _, x := range c.order {
		if c.all[x] != http.StateActive {
			return x
		}
	}
	return conn // all are at work
}
