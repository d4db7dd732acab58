package peer

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
)

// intercept is the shared socket as Pion's mux reads it. It reads in batches, and takes out what remotes report on media that goes straight: the way through
// the mux, ICE, SRTP and Pion's readers, four goroutines, costs several times what there is to do. All else goes on to Pion.
type intercept struct {
	*net.UDPConn
	in *udpbatch.Receiver

	// Used by who reads.
	again  *arena    // packets that are sent again, until all has been dealt with that was read at once
	calm   bool      // that was nothing but reports
	joined time.Time // when somebody last shook hands

	mu     sync.RWMutex // guards the fields below, and each taker's from
	takers map[netip.AddrPort]*taker
}

func newIntercept(conn *net.UDPConn) *intercept {
	return &intercept{UDPConn: conn, in: udpbatch.NewReceiver(conn), again: newArena(repeatBytes), takers: map[netip.AddrPort]*taker{}}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (x *intercept) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if !x.in.Waiting() {
			x.again.flush()
			x.rest()
		}
		data, from, err := x.in.Next()
		if err != nil {
			return 0, from, err
		}
		if isRTCP(data) {
			if t := x.taker(from); t != nil && t.take(data, x.again) {
				continue
			}
		}
		x.calm = false
		if isDTLS(data) {
			x.joined = time.Now()
		}
		return copy(b, data), from, nil
	}
}

const (
	restFor  = 3 * time.Millisecond
	hurryFor = 50 * time.Millisecond
)

// rest lets some more come after a batch of nothing but reports, to be read together: waking up for each costs more than dealing with it. Where nobody reports so often it
// delays nothing, and it does not make those wait who are shaking hands.
func (x *intercept) rest() {
	if x.calm && time.Since(x.joined) > hurryFor {
		time.Sleep(restFor)
	}
	x.calm = true
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (x *intercept) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return x.WriteToUDPAddrPort(b, to)
}

// ReadFrom implements net.PacketConn.
func (x *intercept) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := x.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func (x *intercept) taker(from netip.AddrPort) *taker {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.takers[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
}

// route lets a taker have what comes from an address, and no longer what comes from the one before.
func (x *intercept) route(t *taker, from netip.AddrPort) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(t)
	if !t.ended && from.IsValid() {
		t.from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		x.takers[t.from] = t
	}
}

// end lets a taker have nothing more.
func (x *intercept) end(t *taker) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(t)
	t.ended = true
}

func (x *intercept) forget(t *taker) {
	if x.takers[t.from] == t {
		delete(x.takers, t.from)
	}
}

// isRTCP tells RTCP from all else that shares the port (RFC 7983 section 7, RFC 5761 section 4).
func isRTCP(b []byte) bool { return len(b) > 1 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223 }

// isDTLS tells DTLS likewise.
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] <= 63 }
