package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/pulse"
	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// UDPDemux is the shared socket as Pion's mux reads it. It reads in batches, and takes out what remotes report on media
// that goes straight: the way through the mux, ICE, SRTP and Pion's readers, four goroutines, costs several times what
// there is to do. Media that nobody asked for ends here. All else goes on to Pion.
type UDPDemux struct {
	*net.UDPConn
	in  datagrams
	out *udpbatch.Sender // Pion's way to write, which waits no longer than ours

	// Owned by the reader.
	again  *wire.Arena // packets that are sent again, until all has been dealt with that was read at once
	calm   bool        // that was nothing but reports
	joined time.Time   // when somebody last shook hands

	Faults socketFaults
	Work   pulse.Work // of the reader, between two reads

	mu      sync.RWMutex // guards the fields below, and each rtcpFastPath's from and ended
	remotes map[netip.AddrPort]*RTCPFastPath
}

// NewUDPDemux reads a socket.
func NewUDPDemux(conn *net.UDPConn) *UDPDemux {
	return &UDPDemux{
		UDPConn: conn, in: udpbatch.NewReceiver(conn), out: udpbatch.New(conn),
		again:   wire.NewArena(2 * wire.RetransmitBytes),
		remotes: map[netip.AddrPort]*RTCPFastPath{},
		Faults:  socketFaults{closed: make(chan struct{}), Failed: make(chan struct{})},
	}
}

// datagrams is a udpbatch.Receiver.
type datagrams interface {
	Waiting() bool
	Next() ([]byte, netip.AddrPort, error)
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (d *UDPDemux) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if !d.in.Waiting() {
			d.again.FlushAtOnce() // everybody's STUN is behind us: what finds no room now is asked for once more
			d.rest()
			d.Work.End()
		}
		data, from, err := d.in.Next()
		d.Work.Begin()
		if err != nil {
			if d.Faults.passing(err) {
				continue
			}
			return 0, from, err
		}
		d.Faults.good()
		if isRTCP(data) {
			if p := d.remote(from); p != nil && p.take(data, d.again) {
				if d.again.Full() {
					d.again.FlushAtOnce()
				}
				continue
			}
		}
		d.calm = false
		if isRTP(data) {
			if p := d.remote(from); p != nil && p.throwAway(data) {
				continue
			}
		}
		if isDTLS(data) {
			d.joined = time.Now()
		}
		return copy(b, data), from, nil
	}
}

const (
	restFor  = 3 * time.Millisecond
	hurryFor = 50 * time.Millisecond
)

// rest lets some more come after a batch of nothing but reports, to be read together: waking up for each costs more
// than dealing with it. Where nobody reports so often it delays nothing, and it does not make those wait who are
// shaking hands.
func (d *UDPDemux) rest() {
	if d.calm && time.Since(d.joined) > hurryFor {
		time.Sleep(restFor)
	}
	d.calm = true
}

// Close implements net.PacketConn. Pion closes the socket by itself when it takes an error for the end.
func (d *UDPDemux) Close() error {
	d.Faults.fail(errors.New("pion has closed it"))
	d.Faults.once.Do(func() { close(d.Faults.closed) })
	return d.UDPConn.Close()
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (d *UDPDemux) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return d.out.WriteTo(b, to)
}

// WriteTo implements net.PacketConn.
func (d *UDPDemux) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: net.InvalidAddrError("not an address of UDP")}
	}
	return d.out.WriteTo(b, a.AddrPort())
}

// ReadFrom implements net.PacketConn.
func (d *UDPDemux) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := d.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func (d *UDPDemux) remote(from netip.AddrPort) *RTCPFastPath {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.remotes[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
}

// Bind lets a fast path have what comes from an address, and no longer what comes from the one before. The zero address
// is none.
func (d *UDPDemux) Bind(p *RTCPFastPath, from netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(p)
	if !p.ended && from.IsValid() {
		p.from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		d.remotes[p.from] = p
	}
}

// Release lets a fast path have nothing more, ever.
func (d *UDPDemux) Release(p *RTCPFastPath) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(p)
	p.ended = true
}

func (d *UDPDemux) forget(p *RTCPFastPath) {
	if d.remotes[p.from] == p {
		delete(d.remotes, p.from)
	}
}

// isRTCP tells RTCP from all else that shares the port (RFC 7983 section 7, RFC 5761 section 4).
func isRTCP(b []byte) bool { return len(b) > 1 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223 }

// isRTP tells RTP likewise.
func isRTP(b []byte) bool { return len(b) > 1 && b[0]>>6 == 2 && !isRTCP(b) }

// isDTLS tells DTLS likewise.
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] <= 63 }

// From is where the packets of a fast path come from; the zero address: it gets none.
func (d *UDPDemux) From(p *RTCPFastPath) netip.AddrPort {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.remotes[p.from] != p {
		return netip.AddrPort{}
	}
	return p.from
}
