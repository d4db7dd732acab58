// Package udpbatch sends and receives many datagrams through one UDP socket with few system calls.
//
// A Run is a sequence of datagrams to one address. All have one size except the last, which may be shorter. On Linux a
// run leaves as one message that the kernel segments (UDP_SEGMENT), and many runs leave in one sendmmsg. A kernel that
// cannot do that is detected by its error; from then on the Sender uses sendmmsg with single datagrams, or in the end
// one sendto for each. A path that cannot segment, because of its MTU or its interface, only costs the remotes behind
// it.
//
// Nothing in this package waits for a link. Datagrams that find no room in the socket's buffer within 2 ms are dropped
// and counted, as UDP allows.
package udpbatch

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Limits of one run: the kernel's UDP_MAX_SEGMENTS, and the largest payload of an IPv4 datagram.
const (
	MaxSegments = 64
	MaxBytes    = 65_000
)

// patience is how long one Send waits for room in the socket's buffer, however much it sends. The rest is then lost, as
// on any link that is too slow.
const patience = 2 * time.Millisecond

// Run is a sequence of datagrams to one address: Data in pieces of Size bytes, the last of which may be shorter. It
// keeps to MaxSegments and MaxBytes.
type Run struct {
	To   netip.AddrPort // without a zone
	Data []byte
	Size int
}

// segments returns the number of datagrams in r.
func (r *Run) segments() int { return (len(r.Data) + r.Size - 1) / r.Size }

// Way is how a Sender sends.
type Way int32

// The ways, from the best to the plainest.
const (
	Segmented Way = iota // UDP_SEGMENT in sendmmsg
	Batched              // sendmmsg
	Single               // sendto
)

// Sender writes runs to a socket. Send may be called from several goroutines, none of which waits for another.
type Sender struct {
	conn    *net.UDPConn
	v6      bool // the socket is an IPv6 one and takes IPv4 addresses in their mapped form
	way     atomic.Int32
	dropped atomic.Uint64

	platform
}

// New returns a Sender for conn. It starts with the best way and finds out what works.
func New(conn *net.UDPConn) *Sender {
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	s := &Sender{conn: conn, v6: local != nil && local.IP.To4() == nil}
	s.way.Store(int32(s.setup()))
	return s
}

// For returns a Sender for another socket that shares this one's memory and starts with its findings.
func (s *Sender) For(conn *net.UDPConn) *Sender {
	o := New(conn)
	o.share(s)
	o.Limit(s.Way())
	return o
}

// Way returns how the Sender sends now.
func (s *Sender) Way() Way { return Way(s.way.Load()) }

// Limit keeps the Sender from using a better way than w. It is for tests and for operators of unusual kernels.
func (s *Sender) Limit(w Way) {
	if s.Way() < w {
		s.way.Store(int32(w))
	}
}

// Dropped returns the number of datagrams that the kernel did not accept: the socket's buffer was full, or there is no
// route to the address.
func (s *Sender) Dropped() uint64 { return s.dropped.Load() }

// Deadline returns when a Send that begins now stops waiting for room in the socket's buffer.
func Deadline() time.Time { return time.Now().Add(patience) }

// Send writes all runs. It waits for room in the socket's buffer for at most 2 ms in total. What the kernel has not
// accepted by then is counted and lost; UDP promises no more.
func (s *Sender) Send(runs []Run) { s.SendBy(runs, Deadline()) }

// takes reports whether the socket can send to addresses of this family.
func (s *Sender) takes(to netip.Addr) bool { return s.v6 || to.Unmap().Is4() }
