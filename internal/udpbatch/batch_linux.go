package udpbatch

import (
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxMessages is how many messages go into one sendmmsg.
const maxMessages = 128

// platform is what Linux needs.
type platform struct{ raw syscall.RawConn }

func (s *Sender) setup() Way {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return Single
	}
	s.raw = raw
	s.pool = &sync.Pool{New: func() any { return newBatch() }}
	return Segmented
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// batch is the memory of one sendmmsg, used again and again.
type batch struct {
	msgs    [maxMessages]mmsghdr
	iovs    [maxMessages]unix.Iovec
	names   [maxMessages]unix.RawSockaddrInet6 // large enough for an IPv4 one
	control [maxMessages][controlSpace]byte
	counts  [maxMessages]int // datagrams in each message

	// What the callback of RawConn.Write works with; it is made once, so that a send allocates nothing.
	n        int
	offset   int
	err      syscall.Errno
	deadline time.Time
	callback func(fd uintptr) bool
}

// controlSpace holds one UDP_SEGMENT control message: struct cmsghdr and a uint16, aligned.
const controlSpace = 24

// patience is how long a send waits for room in the socket's buffer. What does not fit then is lost, as on any link that is too slow.
const patience = 2 * time.Millisecond

func newBatch() *batch {
	b := &batch{}
	b.callback = func(fd uintptr) bool {
		for b.offset < b.n {
			sent, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd,
				uintptr(unsafe.Pointer(&b.msgs[b.offset])), uintptr(b.n-b.offset), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				b.offset += int(sent)
			case unix.EINTR:
			case unix.EAGAIN:
				if time.Now().After(b.deadline) {
					b.err = errno
					return true
				}
				return false // the poller wakes us when there is room
			default:
				b.err = errno
				return true
			}
		}
		return true
	}
	return b
}

// Send writes all runs. What the kernel does not take is counted and lost; UDP promises no more.
func (s *Sender) Send(runs []Run) {
	if len(runs) == 0 {
		return
	}
	if s.Way() == Single {
		s.sendSingle(runs)
		return
	}
	b := s.pool.Get().(*batch)
	defer s.pool.Put(b)
	for len(runs) > 0 {
		if s.Way() == Segmented {
			n := min(len(runs), maxMessages)
			s.fill(b, runs[:n])
			s.flush(b, runs)
			runs = runs[n:]
			continue
		}
		s.sendBatched(b, runs)
		return
	}
}

// fill makes one message of each run.
func (s *Sender) fill(b *batch, runs []Run) {
	b.n = len(runs)
	for i := range runs {
		r := &runs[i]
		s.message(b, i, r.To, r.Data)
		b.counts[i] = r.segments()
		if len(r.Data) > r.Size {
			segment(&b.msgs[i].hdr, &b.control[i], r.Size)
		}
	}
}

// sendBatched makes one message of each datagram.
func (s *Sender) sendBatched(b *batch, runs []Run) {
	b.n = 0
	for i := range runs {
		r := &runs[i]
		for data := r.Data; len(data) > 0; {
			n := min(r.Size, len(data))
			s.message(b, b.n, r.To, data[:n])
			b.counts[b.n] = 1
			data = data[n:]
			if b.n++; b.n == maxMessages {
				s.flush(b, nil)
				b.n = 0
			}
		}
	}
	s.flush(b, nil)
}

func (s *Sender) message(b *batch, i int, to netip.AddrPort, data []byte) {
	b.iovs[i].Base = unsafe.SliceData(data)
	b.iovs[i].SetLen(len(data))
	h := &b.msgs[i].hdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&b.names[i])), Namelen: s.address(&b.names[i], to), Iov: &b.iovs[i]}
	h.SetIovlen(1)
}

// address writes a socket address and gives its length.
func (s *Sender) address(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	port := to.Port()<<8 | to.Port()>>8
	if s.v6 {
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: to.Addr().As16()}
		return unix.SizeofSockaddrInet6
	}
	v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
	*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: to.Addr().Unmap().As4()}
	return unix.SizeofSockaddrInet4
}

// segment asks the kernel to cut a message into datagrams of the given size (udp(7), UDP_SEGMENT).
func segment(h *unix.Msghdr, control *[controlSpace]byte, size int) {
	c := (*unix.Cmsghdr)(unsafe.Pointer(control))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = uint16(size)
	h.Control = &control[0]
	h.SetControllen(unix.CmsgSpace(2))
}

// flush writes the messages of b. A message that the kernel refuses is left out and the rest goes on; when it is segmentation
// that it refuses, this Sender does without from then on.
func (s *Sender) flush(b *batch, runs []Run) {
	b.offset = 0
	for b.offset < b.n {
		b.err, b.deadline = 0, time.Now().Add(patience)
		if err := s.raw.Write(b.callback); err != nil {
			s.lost(b, b.n-b.offset) // the socket is closed
			return
		}
		switch {
		case b.err == 0:
		case b.err == unix.EAGAIN:
			s.lost(b, b.n-b.offset)
			return
		case b.err == unix.ENOSYS:
			s.Limit(Single)
			if runs != nil {
				s.sendSingle(runs[b.offset:b.n])
			}
			return
		case runs != nil && b.counts[b.offset] > 1 && (b.err == unix.EIO || b.err == unix.EINVAL || b.err == unix.EOPNOTSUPP):
			if s.withoutSegments(runs[b.offset]) {
				s.Limit(Batched)
			}
			b.offset++
		default:
			s.lost(b, 1)
		}
	}
}

// withoutSegments sends one run that the kernel did not take as one message. It reports whether that went well: then segmentation is at fault, and not the
// address.
func (s *Sender) withoutSegments(r Run) bool {
	b := s.pool.Get().(*batch)
	defer s.pool.Put(b)
	before := s.dropped.Load()
	s.sendBatched(b, []Run{r})
	return s.dropped.Load() == before
}

// lost leaves the next n messages out.
func (s *Sender) lost(b *batch, n int) {
	for range n {
		s.dropped.Add(uint64(b.counts[b.offset]))
		b.offset++
	}
}
