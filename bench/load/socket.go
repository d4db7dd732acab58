package load

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	socketBuffer = 4 << 20 // bytes; a burst must be lost by the server, not here
	batch        = 32      // datagrams read with one call
	maxDatagram  = 1600
)

// socket is a UDP socket on loopback that shows every RTP packet to observe, with the kernel's time of its arrival,
// before it hands it to its reader, if at all. It is read by one goroutine.
type socket struct {
	*net.UDPConn
	batched *ipv4.PacketConn
	observe func(packet []byte, at time.Time) (forward bool)
	out     *late // what is sent leaves this much later, and what has come is seen this much later

	msgs    []ipv4.Message
	left    []ipv4.Message // read, and not yet handed out
	poll    atomic.Int64   // nanoseconds to let pass before the next look at the socket; 0 is none
	more    bool           // the last look filled msgs
	dropped uint32         // by the kernel, for want of room in the socket's buffer; guarded by the observer's lock
}

func listen(delay time.Duration, observe func([]byte, time.Time) bool) (*socket, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("viewer socket: %w", err)
	}
	s := &socket{UDPConn: c, batched: ipv4.NewPacketConn(c), observe: observe, out: newLate(delay),
		msgs: make([]ipv4.Message, batch)}
	for i := range s.msgs {
		s.msgs[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		s.msgs[i].OOB = make([]byte, unix.CmsgSpace(16)+unix.CmsgSpace(4))
	}
	if err := s.configure(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) configure() error {
	if err := s.SetReadBuffer(socketBuffer); err != nil {
		return fmt.Errorf("viewer socket buffer: %w", err)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); failed == nil {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		}
	})
	if err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("arrival times on a socket: %w", failed)
	}
	return nil
}

// ReadFrom implements net.PacketConn.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if len(s.left) == 0 {
			if wait := s.poll.Load(); wait > 0 && !s.more {
				time.Sleep(time.Duration(wait))
			}
			n, err := s.batched.ReadBatch(s.msgs, 0)
			if err != nil {
				return 0, nil, err
			}
			s.left, s.more = s.msgs[:n], n == len(s.msgs)
		}
		m := &s.left[0]
		s.left = s.left[1:]
		packet := m.Buffers[0][:m.N]
		rtp := isRTP(packet)
		var at time.Time
		if rtp || s.out.by > 0 {
			at = s.ancillary(m.OOB[:m.NN]).Add(s.out.by)
			time.Sleep(time.Until(at))
		}
		if rtp {
			if !s.observe(packet, at) {
				continue
			}
		}
		return copy(b, packet), m.Addr, nil
	}
}

// ancillary reads what the kernel says beside a datagram (cmsg(3)): when it came, and how many were dropped so far.
func (s *socket) ancillary(oob []byte) time.Time {
	var at time.Time
	for len(oob) >= unix.SizeofCmsghdr {
		size := int(binary.NativeEndian.Uint64(oob)) // 64-bit hosts only
		if size < unix.SizeofCmsghdr || size > len(oob) {
			break
		}
		data := oob[unix.CmsgLen(0):size]
		switch kind := binary.NativeEndian.Uint32(oob[12:]); {
		case kind == unix.SO_TIMESTAMPNS && len(data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case kind == unix.SO_RXQ_OVFL && len(data) >= 4:
			s.dropped = binary.NativeEndian.Uint32(data)
		}
		oob = oob[min(len(oob), unix.CmsgSpace(size-unix.CmsgLen(0))):]
	}
	if at.IsZero() {
		at = time.Now()
	}
	return at
}

// isRTP tells RTP from the rest that shares its port (RFC 7983 section 7, RFC 5761 section 4).
func isRTP(b []byte) bool {
	return len(b) >= 12 && b[0] >= 128 && b[0] <= 191 && (b[1] < 192 || b[1] > 223)
}
