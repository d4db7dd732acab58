package rig

import (
	"net"
	"slices"
	"sync/atomic"
)

// fakeListener hands the connections of a FakeCamera out in a wrapping.
type fakeListener struct {
	net.Listener
	cam *FakeCamera
}

// Accept implements net.Listener.
func (l *fakeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f := &fakeConn{Conn: conn, cam: l.cam}
	l.cam.Mu.Lock()
	defer l.cam.Mu.Unlock()
	l.cam.conns = append(l.cam.conns, f)
	return f, nil
}

func (c *FakeCamera) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return &fakeListener{l, c}, err
}

// fakeConn is a connection to a FakeCamera that may turn into a hole: nothing comes through, and nothing is refused.
type fakeConn struct {
	net.Conn
	cam  *FakeCamera
	hole atomic.Bool
}

func (c *fakeConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.hole.Load() {
			return n, err
		}
	}
}

// Write changes the SSRC of RTP packets (RFC 2326 section 10.12: $, channel, two bytes of length), which the library
// chooses by itself.
func (c *fakeConn) Write(p []byte) (int, error) {
	if c.hole.Load() {
		return len(p), nil
	}
	if add := c.cam.now().SSRC; add != 0 && len(p) > 16 && p[0] == '$' && p[1] == 0 {
		p = slices.Clone(p)
		p[12] += add
	}
	return c.Conn.Write(p)
}
