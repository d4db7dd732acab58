package status

import (
	"net"
	"net/http"
	"sync"
)

// conns bounds the connections of a server that ask for nothing, or have not ended their question yet. When there are
// too many, the oldest of them is closed: who only holds connections open keeps nobody else out. Those that are at work
// are bounded by atWork.
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
	var first net.Conn
	waiting := 0
	for _, x := range c.order {
		if c.all[x] == http.StateActive {
			continue
		}
		if waiting++; first == nil {
			first = x
		}
	}
	if waiting <= maxConns {
		return nil
	}
	return first
}

// atWork bounds the requests that are worked on at a time. What asks whether the agent is alive has places of its own:
// a service manager that gets no answer would end an agent that is only busy.
func atWork(next http.Handler) http.Handler {
	all, health := make(chan struct{}, maxConns), make(chan struct{}, maxConns/4)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		places := all
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			places = health
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			(&Problem{Status: http.StatusServiceUnavailable, Text: "too many requests are at work",
				Hint: "close other pages of this agent"}).write(w)
		}
	})
}
