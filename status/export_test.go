package status

import "net"

// NewServer is Listen on the test's own listener.
func NewServer(ln net.Listener, o Options) *Server {
	o = o.withDefaults()
	s := &Server{ln: ln, log: o.Log}
	s.Set(o)
	return s
}
