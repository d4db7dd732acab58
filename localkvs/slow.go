package localkvs

import (
	"net"
	"time"
)

// slowListener returns connections that obey Faults.SlowBytes.
type slowListener struct {
	net.Listener
	faults *faultBox
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowConn{c, l.faults}, nil
}

type slowConn struct {
	net.Conn
	faults *faultBox
}

func (c *slowConn) Write(b []byte) (n int, err error) {
	const steps = 20 // per second
	for len(b) > 0 && err == nil {
		chunk := b
		if slow := c.faults.get().SlowBytes; slow > 0 {
			chunk = b[:min(len(b), max(1, slow/steps))]
			time.Sleep(time.Second / steps)
		}
		var m int
		m, err = c.Conn.Write(chunk)
		n += m
		b = b[m:]
	}
	return n, err
}
