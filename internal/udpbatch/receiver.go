package udpbatch

import (
	"net"
	"net/netip"
)

const (
	readAtOnce   = 32   // datagrams
	datagramMost = 8192 // bytes; the rest of a longer one is lost, as with Pion
)

// Receiver reads datagrams from a socket, all queued ones with one system call where the platform allows. One goroutine
// uses it.
type Receiver struct {
	conn    *net.UDPConn
	buf     []byte // readAtOnce times datagramMost
	sizes   [readAtOnce]int
	froms   [readAtOnce]netip.AddrPort
	n, next int

	receiving
}

// NewReceiver returns a Receiver for conn.
func NewReceiver(conn *net.UDPConn) *Receiver {
	r := &Receiver{conn: conn, buf: make([]byte, readAtOnce*datagramMost)}
	r.setup()
	return r
}

// Waiting reports whether Next has a datagram that was read already.
func (r *Receiver) Waiting() bool { return r.next < r.n }

// Next returns a datagram and its source, like net.UDPConn.ReadFromUDPAddrPort. The data are valid until the next call.
// A closed socket or a deadline is an error.
func (r *Receiver) Next() (data []byte, from netip.AddrPort, err error) {
	if !r.Waiting() {
		r.n, r.next = 0, 0
		if r.n, err = r.read(); err != nil {
			return nil, netip.AddrPort{}, err
		}
	}
	i := r.next
	r.next++
	return r.slot(i)[:r.sizes[i]], r.froms[i], nil
}

func (r *Receiver) slot(i int) []byte { return r.buf[i*datagramMost : (i+1)*datagramMost] }

// readOne works on every platform.
func (r *Receiver) readOne() (n int, err error) {
	r.sizes[0], r.froms[0], err = r.conn.ReadFromUDPAddrPort(r.slot(0))
	if err != nil {
		return 0, err
	}
	return 1, nil
}
