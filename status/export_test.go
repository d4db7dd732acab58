package status

import "net"

// NewServer is Listen on the test's own listener.
func NewServer(ln net.Listener, o Options) *Server {
	o = o.withDefaults()
	return &Server{ln: ln, handler: Handler(o), log: o.Log}
}
