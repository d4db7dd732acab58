package udpbatch

import (
	"net"
	"net/netip"
)

const (
	readAtOnce   = 32   // datagrams
	datagramMost = 8192 // bytes; of a longer one the rest is lost, as with Pion
)

// Receiver reads datagrams from a socket, those that wait with one system call where the platform can. One goroutine uses it.
type Receiver struct {
	conn    *net.UDPConn
	buf     []byte // readAtOnce times datagramMost
	sizes   [readAtOnce]int
	froms   [readAtOnce]netip.AddrPort
	n, next int

	receiving
}

// NewReceiver makes a Receiver for conn.
func NewReceiver(conn *net.UDPConn) *Receiver {
	r := &Receiver{conn: conn, buf: make([]byte, readAtOnce*datagramMost)}
	r.setup()
	return r
}

// Waiting says whether Next has a datagram that was read already.
func (r *Receiver) Waiting() bool { return r.next < r.n }

// Next gives a datagram and where it came from, as net.UDPConn.ReadFromUDPAddrPort does. The data are good until the next call. A closed socket or a deadline is an error.
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

// readOne is the way that works everywhere.
func (r *Receiver) readOne() (n int, err error) {
	r.sizes[0], r.froms[0], err = r.conn.ReadFromUDPAddrPort(r.slot(0))
	if err != nil {
		return 0, err
	}
	return 1, nil
}
