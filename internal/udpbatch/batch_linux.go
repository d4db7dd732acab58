package udpbatch

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxMessages is how many messages go into one sendmmsg.
const maxMessages = 128

// Pauses before the next attempt at a full buffer: firstPause at first, then twice as long each time, up to lastPause.
const (
	firstPause = patience / 8
	lastPause  = patience / 2
)

// platform is the state for Linux.
type platform struct {
	pool     *sync.Pool // of *batch; shared
	raw      syscall.RawConn
	sendmmsg sendFunc // tests replace the kernel
	sendto   sendFunc
	plain    *plainAddrs // shared
	zones    zones

	segmented atomic.Bool // a message was segmented, for any address
}

// sendFunc passes messages to the kernel, and returns how many it accepted. It does not wait.
type sendFunc func(fd uintptr, msgs []mmsghdr) (sent int, errno syscall.Errno)

func (s *Sender) setup() Way {
	s.pool = &sync.Pool{New: func() any { return newBatch() }}
	s.sendmmsg, s.sendto, s.plain = sendmmsg, sendto, &plainAddrs{}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return Single // each Send then finds that there is no socket
	}
	s.raw = raw
	way := Segmented
	_ = raw.Control(func(fd uintptr) {
		if _, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
			way = Batched // Linux before 4.18
		}
	})
	return way
}

// share lets a Sender use another's memory and its findings about addresses.
func (s *Sender) share(o *Sender) { s.pool, s.plain = o.pool, o.plain }

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

func sendmmsg(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendto(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	h := &msgs[0].hdr
	if h.Control != nil {
		return 0, unix.EOPNOTSUPP // it accepts no control message
	}
	_, _, errno := syscall.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len),
		unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
	if errno != 0 {
		return 0, errno
	}
	return 1, 0
}

// batch is the memory of one sendmmsg, which is reused.
type batch struct {
	msgs    [maxMessages]mmsghdr
	iovs    [maxMessages]unix.Iovec
	names   [maxMessages]unix.RawSockaddrInet6 // large enough for an IPv4 one
	control [maxMessages][controlSpace]byte
	runs    [maxMessages]*Run // the run that is the whole message; nil for a single datagram
	n       int

	// Used by the callback of RawConn.Control, which is made once so that a send does not allocate.
	send     sendFunc
	offset   int
	cut      bool // the kernel has segmented a message
	err      syscall.Errno
	callback func(fd uintptr)
}

// controlSpace holds one UDP_SEGMENT control message: struct cmsghdr and a uint16, aligned.
const controlSpace = 24

// newBatch makes a batch. Its callback never waits: RawConn.Write would wait, and keep all others from the socket
// meanwhile.
func newBatch() *batch {
	b := &batch{}
	b.callback = func(fd uintptr) {
		for b.offset < b.n {
			sent, errno := b.send(fd, b.msgs[b.offset:b.n])
			switch errno {
			case 0:
				b.cut = b.cut || b.runs[b.offset] != nil
				b.offset += sent
			case unix.EINTR:
			default:
				b.err = errno
				return
			}
		}
	}
	return b
}

// batch returns an empty batch.
func (s *Sender) batch() *batch {
	b := s.pool.Get().(*batch)
	b.n = 0 // the previous user may have panicked
	return b
}

// count returns the number of datagrams in message i.
func (b *batch) count(i int) int {
	if r := b.runs[i]; r != nil {
		return r.segments()
	}
	return 1
}

// SendBy is Send with another deadline. After the deadline it only tries. It reports whether the buffer was still full
// at the end.
func (s *Sender) SendBy(runs []Run, until time.Time) (full bool) {
	b := s.batch()
	defer s.pool.Put(b)
	for i := range runs {
		r := &runs[i]
		switch {
		case !s.takes(r.To.Addr()):
			s.dropped.Add(uint64(r.segments()))
		case len(r.Data) > r.Size && s.Way() == Segmented && !s.plain.has(r.To):
			s.add(b, r.To, r.Data, r, until)
		default:
			s.addEach(b, r, until)
		}
	}
	_, err := s.flush(b, until)
	return err == unix.EAGAIN || err == unix.ENOBUFS
}

// WriteTo sends one datagram like net.UDPConn, but waits no longer than Send. A datagram without room by then is lost
// and counted, and is not an error, since users of UDP expect losses.
func (s *Sender) WriteTo(data []byte, to netip.AddrPort) (int, error) {
	if !s.takes(to.Addr()) {
		return 0, s.failed(to, unix.EAFNOSUPPORT)
	}
	b := s.batch()
	defer s.pool.Put(b)
	s.add(b, to, data, nil, time.Time{})
	if _, err := s.flush(b, Deadline()); err != nil && err != unix.EAGAIN && err != unix.ENOBUFS {
		return 0, s.failed(to, err)
	}
	return len(data), nil
}

func (s *Sender) failed(to netip.AddrPort, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError("sendto", errno)
	}
	return &net.OpError{Op: "write", Net: "udp", Source: s.conn.LocalAddr(), Addr: net.UDPAddrFromAddrPort(to),
		Err: err}
}

// addEach adds each datagram of a run as a message.
func (s *Sender) addEach(b *batch, r *Run, until time.Time) {
	for data := r.Data; len(data) > 0; {
		n := min(r.Size, len(data))
		s.add(b, r.To, data[:n], nil, until)
		data = data[n:]
	}
}

// add adds a message, which is a whole run if r is set. It first flushes a full batch.
func (s *Sender) add(b *batch, to netip.AddrPort, data []byte, r *Run, until time.Time) {
	if b.n == maxMessages {
		_, _ = s.flush(b, until)
	}
	i := b.n
	b.n++
	b.runs[i] = r
	b.iovs[i].Base = unsafe.SliceData(data)
	b.iovs[i].SetLen(len(data))
	h := &b.msgs[i].hdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&b.names[i])), Namelen: s.address(&b.names[i], to), Iov: &b.iovs[i]}
	h.SetIovlen(1)
	if r != nil {
		segment(h, &b.control[i], r.Size)
	}
}

// address writes a socket address and returns its length.
func (s *Sender) address(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	port := to.Port()<<8 | to.Port()>>8
	if s.v6 {
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: to.Addr().As16()}
		if zone := to.Addr().Zone(); zone != "" {
			name.Scope_id = s.zones.index(zone)
		}
		return unix.SizeofSockaddrInet6
	}
	v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
	*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: to.Addr().Unmap().As4()}
	return unix.SizeofSockaddrInet4
}

// segment asks the kernel to segment a message into datagrams of the given size (udp(7), UDP_SEGMENT).
func segment(h *unix.Msghdr, control *[controlSpace]byte, size int) {
	c := (*unix.Cmsghdr)(unsafe.Pointer(control))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = uint16(size)
	h.Control = &control[0]
	h.SetControllen(unix.CmsgSpace(2))
}

// flush writes the messages of b and empties it. It skips a message that the kernel refuses. It returns the number of
// lost datagrams and the last error.
func (s *Sender) flush(b *batch, until time.Time) (lost int, err error) {
	b.offset, b.cut = 0, false
	for pause := firstPause; b.offset < b.n; {
		var errno syscall.Errno
		if errno, err = s.try(b); err != nil {
			lost += s.lost(b, b.n) // the socket is closed
			break
		}
		switch {
		case errno == 0:
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			if left := time.Until(until); left > 0 {
				time.Sleep(min(pause, left))
				pause = min(2*pause, lastPause)
				continue
			}
			err = errno
			if errno == unix.ENOBUFS { // one interface's queue is full
				lost += s.lost(b, b.offset+1)
			} else {
				lost += s.lost(b, b.n)
			}
		case errno == unix.ENOSYS && s.Way() != Single:
			s.Limit(Single)
		case b.runs[b.offset] != nil && refusesSegments(errno):
			r := b.runs[b.offset]
			b.offset++
			missed := s.split(r, until)
			if lost += missed; missed < r.segments() {
				s.without(r.To) // the address was not the reason
			}
		default:
			err = errno
			lost += s.lost(b, b.offset+1)
		}
	}
	if b.n = 0; b.cut && !s.segmented.Load() {
		s.segmented.Store(true)
	}
	return lost, err
}

// try passes the rest of a batch to the kernel.
func (s *Sender) try(b *batch) (syscall.Errno, error) {
	if s.raw == nil {
		return 0, net.ErrClosed
	}
	b.err = 0
	if b.send = s.sendmmsg; s.Way() == Single {
		b.send = s.sendto
	}
	err := s.raw.Control(b.callback)
	return b.err, err
}

// refusesSegments reports whether an error may mean that a message cannot be segmented: segments are larger than the
// path's MTU (EINVAL, EMSGSIZE by newer kernels), the interface computes no checksums or the path uses IPsec (EIO), or
// the socket does not know UDP_SEGMENT.
func refusesSegments(err syscall.Errno) bool {
	return err == unix.EINVAL || err == unix.EMSGSIZE || err == unix.EIO || err == unix.EOPNOTSUPP ||
		err == unix.ENOPROTOOPT
}

// split sends a run datagram by datagram, and returns the number of lost ones.
func (s *Sender) split(r *Run, until time.Time) (lost int) {
	b := s.batch()
	defer s.pool.Put(b)
	s.addEach(b, r, until)
	lost, _ = s.flush(b, until)
	return lost
}

// without records that the kernel sends single datagrams to an address, but segments no messages for it. When it has
// never segmented any, and has refused for several addresses, segments are no longer tried.
func (s *Sender) without(to netip.AddrPort) {
	if s.plain.add(to) >= refusals && !s.segmented.Load() {
		s.Limit(Batched)
	}
}

// After refusals for that many addresses, and no success, the kernel itself is the reason.
const refusals = 4

// lost drops messages, up to one.
func (s *Sender) lost(b *batch, to int) (n int) {
	for ; b.offset < to; b.offset++ {
		n += b.count(b.offset)
	}
	s.dropped.Add(uint64(n))
	return n
}
