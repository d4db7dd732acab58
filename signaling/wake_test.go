package signaling

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// lateConn is a connection of a process that was stopped: its read deadline has passed when it is next asked.
type lateConn struct {
	net.Conn
	deadline time.Time
	data     string
	race     bool // the data is noticed first
}

func (c *lateConn) SetReadDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *lateConn) Read(p []byte) (int, error) {
	if !c.race && time.Now().After(c.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	if c.data == "" {
		return 0, io.EOF
	}
	n := copy(p, c.data)
	c.data = c.data[n:]
	return n, nil
}

// TestStoppedProcessReadsOn: what came while the process was stopped is read, whichever is noticed first, and told. A
// deadline that passes while it runs still ends the connection.
func TestStoppedProcessReadsOn(t *testing.T) {
	for name, race := range map[string]bool{"deadline first": false, "data first": true} {
		conn := &wakeConn{Conn: &lateConn{data: "offer", race: race}}
		_ = conn.SetReadDeadline(time.Now().Add(-35 * time.Second))
		p := make([]byte, 10)
		if n, err := conn.Read(p); err != nil || string(p[:n]) != "offer" || !conn.woke.Load() {
			t.Errorf("%s: read %q, %v, told: %v", name, p[:n], err, conn.woke.Load())
		}
	}
	conn := &wakeConn{Conn: &lateConn{data: "offer"}}
	_ = conn.SetReadDeadline(time.Now().Add(-time.Millisecond))
	if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) || conn.woke.Load() {
		t.Errorf("a deadline that has just passed: %v, told: %v", err, conn.woke.Load())
	}
}
