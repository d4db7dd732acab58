package udpbatch

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is one of our own: it takes messages, or does not, by where they go.
type kernel struct {
	mu     sync.Mutex // guards the fields below
	refuse func(m message) syscall.Errno
	few    bool // it takes one message at a time
	calls  int
	got    []datagram
}

// message is what a system call was given; data are good until it returns.
type message struct {
	to   netip.AddrPort
	data []byte
	size int // of segments; 0 is one datagram
}

type datagram struct {
	to   netip.AddrPort
	size int
	fill byte // its first byte
}

func (k *kernel) send(_ uintptr, msgs []mmsghdr) (sent int, errno syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	for i := range msgs {
		m := messageOf(&msgs[i].hdr)
		if k.refuse != nil {
			errno = k.refuse(m)
		}
		if errno == 0 && k.few && sent > 0 {
			return sent, 0
		}
		if errno != 0 && sent > 0 {
			return sent, 0 // as sendmmsg does
		}
		if errno != 0 {
			return 0, errno
		}
		k.take(m)
		sent++
	}
	return sent, 0
}

func (k *kernel) take(m message) {
	for data := m.data; len(data) > 0; {
		n := len(data)
		if m.size > 0 {
			n = min(n, m.size)
		}
		k.got = append(k.got, datagram{m.to, n, data[0]})
		data = data[n:]
	}
}

func messageOf(h *unix.Msghdr) message {
	name := (*unix.RawSockaddrInet4)(unsafe.Pointer(h.Name))
	m := message{
		to:   netip.AddrPortFrom(netip.AddrFrom4(name.Addr), name.Port<<8|name.Port>>8),
		data: unsafe.Slice(h.Iov.Base, h.Iov.Len),
	}
	if h.Control != nil {
		m.size = int(*(*uint16)(unsafe.Add(unsafe.Pointer(h.Control), unix.CmsgLen(0))))
	}
	return m
}

func (k *kernel) set(refuse func(message) syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = refuse
}

// to is how many datagrams went to an address, in their order.
func (k *kernel) to(a netip.AddrPort) (out []datagram) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.got {
		if d.to == a {
			out = append(out, d)
		}
	}
	return out
}

// on makes a Sender for a real socket and a kernel of ours.
func on(t *testing.T, k *kernel) *Sender {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := New(conn)
	s.sendmmsg, s.sendto = k.send, func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		if msgs[0].hdr.Control != nil {
			return 0, unix.EOPNOTSUPP
		}
		return k.send(fd, msgs[:1])
	}
	return s
}

var (
	slow = netip.MustParseAddrPort("192.0.2.1:1000")
	fast = netip.MustParseAddrPort("192.0.2.2:1000")
)

// rowTo is a run of n datagrams, each of which begins with its number.
func rowTo(to netip.AddrPort, n int) Run {
	const size = 1200
	data := make([]byte, n*size)
	for i := range n {
		data[i*size] = byte(i)
	}
	return Run{To: to, Data: data, Size: size}
}

func full(m message) syscall.Errno {
	if m.to == slow {
		return unix.EAGAIN
	}
	return 0
}

// TestFullBuffer: however much there is to send, the wait for room is one of 2 ms; what has found none is counted.
func TestFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, way := range []Way{Segmented, Batched, Single} {
			for _, errno := range []syscall.Errno{unix.EAGAIN, unix.ENOBUFS} {
				k := &kernel{refuse: func(message) syscall.Errno { return errno }}
				s := on(t, k)
				s.Limit(way)
				var runs []Run
				for range 2*maxMessages + 10 {
					runs = append(runs, rowTo(slow, 3))
				}
				began := time.Now()
				s.Send(runs)
				if took := time.Since(began); took != patience {
					t.Errorf("way %d, %v: Send returned after %v, want %v", way, errno, took, patience)
				}
				if want := uint64(3 * len(runs)); s.Dropped() != want {
					t.Errorf("way %d, %v: %d datagrams dropped, want %d", way, errno, s.Dropped(), want)
				}
				calls := k.calls
				s.SendBy(runs[:1], time.Time{})
				if n := k.calls - calls; n > 3 {
					t.Errorf("way %d, %v: a Send that only tries made %d system calls", way, errno, n)
				}
			}
		}
	})
}

// TestBufferWithRoomInTime: a buffer that is full for less than the patience costs nothing but time, and nothing
// changes its place.
func TestBufferWithRoomInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, way := range []Way{Segmented, Batched, Single} {
			tries := 0
			k := &kernel{refuse: func(m message) syscall.Errno {
				if m.data[0] == 0 {
					if tries++; tries%2 == 1 {
						return unix.EAGAIN
					}
				}
				return 0
			}}
			s := on(t, k)
			s.Limit(way)
			s.SendBy([]Run{rowTo(fast, 4), rowTo(fast, 4)}, time.Now().Add(time.Minute))
			got := k.to(fast)
			for i, d := range got {
				if int(d.fill) != i%4 {
					t.Errorf("way %d: datagram %d is number %d", way, i, d.fill)
				}
			}
			if len(got) != 8 || s.Dropped() != 0 {
				t.Errorf("way %d: %d datagrams sent and %d dropped, want 8 and 0", way, len(got), s.Dropped())
			}
		}
	})
}

// TestWhoWaitsKeepsNobodyElseWaiting has one Send wait for ever. Others send meanwhile, and so does Pion, which knows
// nothing of us.
func TestWhoWaitsKeepsNobodyElseWaiting(t *testing.T) {
	k := &kernel{refuse: full}
	s := on(t, k)
	waits, done := make(chan struct{}), make(chan struct{})
	k.set(func(m message) syscall.Errno {
		if m.to == slow {
			select {
			case <-waits:
			default:
				close(waits)
			}
			return unix.EAGAIN
		}
		return 0
	})
	go func() {
		defer close(done)
		s.SendBy([]Run{rowTo(slow, 2)}, time.Now().Add(time.Hour))
	}()
	<-waits
	for range 100 {
		s.Send([]Run{rowTo(fast, 2)})
		if n, err := s.WriteTo([]byte{1, 2, 3}, fast); n != 3 || err != nil {
			t.Fatalf("WriteTo = %d, %v", n, err)
		}
		if _, err := s.conn.WriteToUDPAddrPort([]byte{1}, s.conn.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
		t.Fatal("the first Send did not wait")
	default:
	}
	if got := len(k.to(fast)); got != 300 || s.Dropped() != 0 {
		t.Errorf("%d datagrams sent and %d dropped meanwhile, want 300 and 0", got, s.Dropped())
	}
	k.set(nil)
	<-done
	if got := len(k.to(slow)); got != 2 {
		t.Errorf("%d datagrams sent in the end, want 2", got)
	}
}

// TestErrorsCostOnlyTheirOwn gives each error to one of three addresses.
func TestErrorsCostOnlyTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, errno := range []syscall.Errno{unix.EPERM, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENOMEM,
			unix.EMSGSIZE, unix.EINVAL, unix.EIO, unix.EACCES} {
			for _, way := range []Way{Segmented, Batched, Single} {
				for _, few := range []bool{false, true} {
					k := &kernel{few: few, refuse: func(m message) syscall.Errno {
						if m.to == slow {
							return errno
						}
						return 0
					}}
					s := on(t, k)
					s.Limit(way)
					began := time.Now()
					s.Send([]Run{rowTo(fast, 3), rowTo(slow, 3), rowTo(fast, 2), rowTo(slow, 1), rowTo(fast, 1)})
					if took := time.Since(began); took > 0 {
						t.Errorf("%v, way %d: Send waited %v for nothing", errno, way, took)
					}
					if n := len(k.to(fast)); n != 6 || s.Dropped() != 4 {
						t.Errorf("%v, way %d, few %v: %d datagrams sent and %d dropped, want 6 and 4", errno, way, few,
							n, s.Dropped())
					}
					if s.Way() != way {
						t.Errorf("%v: one address made the way %d for all, want %d", errno, s.Way(), way)
					}
					if _, err := s.WriteTo([]byte{1}, slow); err == nil {
						t.Errorf("%v, way %d: WriteTo knows no error", errno, way)
					}
				}
			}
		}
	})
}

// TestPathWithoutSegments: what cannot be cut up for one address is sent to it in single datagrams, from then on at
// once; all others get what they got.
func TestPathWithoutSegments(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.EINVAL, unix.EMSGSIZE, unix.EIO} {
		refused := 0
		k := &kernel{refuse: func(m message) syscall.Errno {
			if m.to != fast && m.size > 0 {
				refused++
				return errno
			}
			return 0
		}}
		s := on(t, k)
		for range 5 {
			s.Send([]Run{rowTo(fast, 3), rowTo(slow, 3), rowTo(fast, 2)})
		}
		if a, b := len(k.to(fast)), len(k.to(slow)); a != 25 || b != 15 || s.Dropped() != 0 {
			t.Errorf("%v: %d and %d datagrams sent, %d dropped, want 25, 15, 0", errno, a, b, s.Dropped())
		}
		// Behind another message sendmmsg does not tell the error, and is called again.
		if refused > 2 || s.Way() != Segmented {
			t.Errorf("%v: refused %d times, and the way is %d for all; want at most 2, and %d", errno, refused, s.Way(),
				Segmented)
		}
		for i, d := range k.to(slow) {
			if int(d.fill) != i%3 {
				t.Errorf("%v: datagram %d is number %d", errno, i, d.fill)
			}
		}
		for i := range 2 * refusals {
			s.Send([]Run{rowTo(netip.AddrPortFrom(slow.Addr(), uint16(2000+i)), 2)})
		}
		if s.Way() != Segmented {
			t.Errorf("%v: several such addresses made the way %d for all", errno, s.Way())
		}
	}
}

// TestKernelWithoutSegments: one that cuts up nothing for anybody is not asked for long, nor is one without sendmmsg.
func TestKernelWithoutSegments(t *testing.T) {
	k := &kernel{refuse: func(m message) syscall.Errno {
		if m.size > 0 {
			return unix.EIO
		}
		return 0
	}}
	s := on(t, k)
	for i := range 10 {
		s.Send([]Run{rowTo(netip.AddrPortFrom(slow.Addr(), uint16(1000+i)), 3)})
	}
	if s.Way() != Batched || len(k.got) != 30 || s.Dropped() != 0 {
		t.Errorf("the way is %d, %d datagrams sent, %d dropped; want %d, 30, 0", s.Way(), len(k.got), s.Dropped(),
			Batched)
	}
	s.sendmmsg = func(uintptr, []mmsghdr) (int, syscall.Errno) { return 0, unix.ENOSYS }
	s.way.Store(int32(Segmented))
	s.Send([]Run{rowTo(fast, 3), rowTo(fast, 2)})
	if got := k.to(fast); s.Way() != Single || len(got) != 5 || s.Dropped() != 0 {
		t.Errorf("without sendmmsg the way is %d, %d datagrams sent, %d dropped; want %d, 5, 0", s.Way(), len(got),
			s.Dropped(), Single)
	}
}

// TestOtherFamily: an address that the socket cannot have is lost, and ends nobody.
func TestOtherFamily(t *testing.T) {
	k := &kernel{}
	s := on(t, k)
	six := netip.MustParseAddrPort("[2001:db8::1]:1000")
	s.Send([]Run{rowTo(fast, 1), rowTo(six, 2), rowTo(fast, 1)})
	if len(k.to(fast)) != 2 || s.Dropped() != 2 {
		t.Errorf("%d datagrams sent, %d dropped, want 2 and 2", len(k.to(fast)), s.Dropped())
	}
	if _, err := s.WriteTo([]byte{1}, six); err == nil {
		t.Error("WriteTo knows no error")
	}
}
