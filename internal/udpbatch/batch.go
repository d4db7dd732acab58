// Package udpbatch sends and receives many datagrams through one UDP socket with few system calls.
//
// A Run is a row of datagrams to one address, all of one size but the last, which may be shorter. On Linux a run leaves as one message that the kernel cuts up
// (UDP_SEGMENT), and many runs leave in one sendmmsg. A kernel that cannot do that is noticed by its error, and from then on done without: sendmmsg of
// single datagrams, and in the end one sendto for each. A path that cannot, because of its MTU or its interface, costs only those who are behind it.
//
// Nothing here waits for a link. What finds no room in the socket's buffer within 2 ms is dropped and counted, as UDP allows.
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

// patience is how long one Send waits for room in the socket's buffer, however much it sends. What does not fit then is lost, as on any link that is too slow.
const patience = 2 * time.Millisecond

// Run is datagrams to one address: Data cut into pieces of Size bytes, the last may be shorter. It keeps to MaxSegments and MaxBytes.
type Run struct {
	To   netip.AddrPort // without a zone
	Data []byte
	Size int
}

// segments is how many datagrams r is.
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

// New makes a Sender for conn. It starts with the best way and finds out what works.
func New(conn *net.UDPConn) *Sender {
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	s := &Sender{conn: conn, v6: local != nil && local.IP.To4() == nil}
	s.way.Store(int32(s.setup()))
	return s
}

// For makes a Sender for another socket that shares this one's memory and begins with what it has found out.
func (s *Sender) For(conn *net.UDPConn) *Sender {
	o := New(conn)
	o.share(s)
	o.Limit(s.Way())
	return o
}

// Way is how the Sender sends now.
func (s *Sender) Way() Way { return Way(s.way.Load()) }

// Limit makes the Sender use no better way than w. Tests and operators of odd kernels use it.
func (s *Sender) Limit(w Way) {
	if s.Way() < w {
		s.way.Store(int32(w))
	}
}

// Dropped counts datagrams that the kernel did not take: the socket's buffer was full, or there is no way to the address.
func (s *Sender) Dropped() uint64 { return s.dropped.Load() }

// Deadline is until when a Send that begins now waits for room in the socket's buffer.
func Deadline() time.Time { return time.Now().Add(patience) }

// Send writes all runs. It waits for room in the socket's buffer for 2 ms in all. What the kernel has not taken by then is counted and lost; UDP promises no more.
func (s *Sender) Send(runs []Run) { s.SendBy(runs, Deadline()) }

// takes says whether the socket has addresses of this family.
func (s *Sender) takes(to netip.Addr) bool { return s.v6 || to.Unmap().Is4() }
