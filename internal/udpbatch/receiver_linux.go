package udpbatch

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiving is the state for Linux.
type receiving struct {
	raw      syscall.RawConn // nil reads one by one
	msgs     [readAtOnce]mmsghdr
	iovs     [readAtOnce]unix.Iovec
	names    [readAtOnce]unix.RawSockaddrInet6 // large enough for an IPv4 one
	zones    map[uint32]string
	got      int
	err      syscall.Errno
	callback func(fd uintptr) bool // made once, so that reading does not allocate
}

func (r *Receiver) setup() {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return
	}
	r.raw, r.zones = raw, map[uint32]string{}
	for i := range r.msgs {
		r.iovs[i].Base = unsafe.SliceData(r.slot(i))
		r.iovs[i].SetLen(datagramMost)
		r.msgs[i].hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&r.names[i])), Iov: &r.iovs[i]}
		r.msgs[i].hdr.SetIovlen(1)
	}
	r.callback = func(fd uintptr) bool {
		for {
			n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), readAtOnce,
				unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false // the poller wakes us
			}
			r.got, r.err = int(n), errno
			return true
		}
	}
}

// read waits for datagrams and fills the slots with them. n is their number.
func (r *Receiver) read() (n int, err error) {
	if r.raw == nil {
		return r.readOne()
	}
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6 // the kernel has overwritten it
	}
	if err := r.raw.Read(r.callback); err != nil {
		return 0, err
	}
	switch r.err {
	case 0:
	case unix.ENOSYS:
		r.raw = nil
		return r.readOne()
	default:
		return 0, &net.OpError{Op: "read", Net: "udp", Addr: r.conn.LocalAddr(), Err: r.err}
	}
	for i := range r.got {
		r.sizes[i] = int(r.msgs[i].n)
		r.froms[i] = r.address(&r.names[i])
	}
	return r.got, nil
}

func (r *Receiver) address(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := name.Port<<8 | name.Port>>8
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	a := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 {
		a = a.WithZone(r.zone(name.Scope_id))
	}
	return netip.AddrPortFrom(a, port)
}

// zone returns the name of an interface, which is the zone of a link-local address (RFC 4007 section 11).
func (r *Receiver) zone(id uint32) string {
	if name, ok := r.zones[id]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(id), 10)
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		name = i.Name
	}
	r.zones[id] = name
	return name
}
