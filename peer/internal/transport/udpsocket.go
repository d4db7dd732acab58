package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// UDPSocket is a UDP socket on which ICE meets remotes: Pion's mux reads it through our demux, and we write past Pion.
// It is bound to no address, so that it outlives a change of them.
//
// Pion's mux tells connections apart by the remote's address. All viewers of an engine share one socket. A connection
// that is a viewer itself has its own: two agents with several channels between them would otherwise be one address to
// each other.
type UDPSocket struct {
	Mux *ice.UniversalUDPMuxDefault
	In  *UDPDemux
	Out *udpbatch.Sender
}

// SocketBuffer holds the packets of a frame for very many viewers.
const SocketBuffer = 4 << 20

// ListenUDP opens a UDP socket on all addresses. port 0 is any free one; buffer is what the kernel may hold each way,
// in bytes.
func ListenUDP(port, buffer int, n transport.Net, log logging.LoggerFactory) (*UDPSocket, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("webrtc udp port: %w; hint: is another agent running? choose another webrtc.udp_port",
			err)
	}
	_ = conn.SetReadBuffer(buffer) // as much of it as the system allows
	_ = conn.SetWriteBuffer(buffer)
	in := NewUDPDemux(conn)
	return &UDPSocket{In: in, Out: in.out, Mux: ice.NewUniversalUDPMuxDefault(ice.UniversalUDPMuxParams{
		UDPConn: in, Net: n, Logger: log.NewLogger("udpmux"), XORMappedAddrCacheTTL: time.Nanosecond,
	})}, nil
}

// Port is the local port; 0 when there is no socket.
func (s *UDPSocket) Port() int {
	if s == nil {
		return 0
	}
	return s.Mux.LocalAddr().(*net.UDPAddr).Port
}

// Close closes the socket. A nil socket has nothing to close.
func (s *UDPSocket) Close() error {
	if s == nil {
		return nil
	}
	s.In.Faults.ending.Store(true)
	return s.Mux.Close()
}

// socketFaults is what goes wrong with reading a socket. Pion's mux closes its socket after any error but a time-out,
// for good and for all connections, so it sees only those that are final.
type socketFaults struct {
	passed atomic.Uint64 // errors after which reading went on
	ending atomic.Bool   // we close the socket
	closed chan struct{}
	once   sync.Once

	// Used by the reader.
	since time.Time // when errors began, without a packet between them; zero: the last read was good
	pause retryPause

	mu     sync.Mutex // guards the fields below
	err    error      // why the socket is of no more use
	Failed chan struct{}
}

// errorsFor is how long reading may give nothing but errors.
const errorsFor = 10 * time.Second

// passing takes an error of a read, and reports whether to read again. It waits a moment before it says so.
func (f *socketFaults) passing(err error) bool {
	var timeout net.Error
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EBADF), errors.Is(err, syscall.ENOTSOCK):
		f.fail(err)
		return false
	case errors.As(err, &timeout) && timeout.Timeout():
		return false // which Pion asked for
	}
	f.passed.Add(1)
	now := time.Now()
	if f.since.IsZero() {
		f.since = now
	}
	if now.Sub(f.since) > errorsFor {
		f.fail(fmt.Errorf("nothing but errors for %v: %w", errorsFor, err))
		return false
	}
	return f.pause.wait(f.closed)
}

// good notes that a read was good.
func (f *socketFaults) good() {
	if !f.since.IsZero() {
		f.since, f.pause = time.Time{}, retryPause{}
	}
}

// fail notes why the socket is of no more use, unless we are closing it.
func (f *socketFaults) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && !f.ending.Load() {
		f.err = fmt.Errorf("the socket of all media is lost: %w", err)
		close(f.Failed)
	}
}

// Reason is why the socket is of no more use; nil while it is good.
func (f *socketFaults) Reason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// OpenNAT opens the way into the socket through a NAT that lets in only who was spoken to: the remote may have been
// reached from another socket so far. It sends nothing that means anything (a binding indication, RFC 8489 section 3).
func (s *UDPSocket) OpenNAT(ctx context.Context, pair *webrtc.ICECandidatePair) {
	if pair == nil {
		return
	}
	to, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil || to.Zone() != "" || pair.Remote.Protocol != webrtc.ICEProtocolUDP {
		return
	}
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint)
	if err != nil {
		return
	}
	for range 3 {
		s.Out.Send([]udpbatch.Run{{To: netip.AddrPortFrom(to, pair.Remote.Port), Data: m.Raw, Size: len(m.Raw)}})
		select {
		case <-ctx.Done():
			return
		case <-time.After(openEvery):
		}
	}
}

// openEvery is the time between the packets that open a NAT.
const openEvery = 300 * time.Millisecond
