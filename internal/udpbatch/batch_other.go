//go:build !linux

package udpbatch

import (
	"errors"
	"net/netip"
	"os"
	"time"
)

// platform has no state: there is only one way.
type platform struct{}

func (s *Sender) setup() Way { return Single }

func (s *Sender) share(*Sender) {}

// leastPatience is for a Send that only tries: the net package does not try at all after a deadline.
const leastPatience = 50 * time.Microsecond

// SendBy is Send with another deadline. After the deadline it only tries. It reports whether the buffer was still full
// at the end.
func (s *Sender) SendBy(runs []Run, until time.Time) (full bool) {
	if least := time.Now().Add(leastPatience); until.Before(least) {
		until = least
	}
	_ = s.conn.SetWriteDeadline(until)
	for i := range runs {
		r := &runs[i]
		if !s.takes(r.To.Addr()) {
			s.dropped.Add(uint64(r.segments()))
			continue
		}
		for data := r.Data; len(data) > 0; {
			n := min(r.Size, len(data))
			if _, err := s.conn.WriteToUDPAddrPort(data[:n], s.address(r.To)); err != nil {
				s.dropped.Add(1)
				full = full || errors.Is(err, os.ErrDeadlineExceeded)
			}
			data = data[n:]
		}
	}
	return full
}

// WriteTo sends one datagram like net.UDPConn, but waits no longer than Send. A datagram without room by then is lost
// and counted, and is not an error, since users of UDP expect losses.
func (s *Sender) WriteTo(data []byte, to netip.AddrPort) (int, error) {
	_ = s.conn.SetWriteDeadline(Deadline())
	n, err := s.conn.WriteToUDPAddrPort(data, s.address(to))
	if err != nil {
		s.dropped.Add(1)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return len(data), nil
	}
	return n, err
}

// address returns an address in the socket's family.
func (s *Sender) address(to netip.AddrPort) netip.AddrPort {
	if s.v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()).WithZone(to.Addr().Zone()), to.Port())
	}
	return netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
}
