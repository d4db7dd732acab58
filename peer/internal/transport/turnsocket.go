package transport

import (
	"context"
	"net"
	"sync"

	"github.com/pion/dtls/v3"
)

// ListenPacket implements transport.Net. Pion opens a socket so for each TURN server over UDP, and for nothing else.
func (s *Sockets) ListenPacket(network, local string) (net.PacketConn, error) {
	if s.off(network) {
		return nil, errFamily
	}
	conn, err := s.Net.ListenPacket(network, local)
	if err != nil {
		return nil, err
	}
	return &turnSocket{PacketConn: conn, sockets: s, plain: make(chan struct{}), closed: make(chan struct{})}, nil
}

// turnSocket is a UDP socket to one TURN server, which is known by the first packet to it. When that is a server over
// DTLS, the socket encrypts. It says when a message that comes is a refusal.
type turnSocket struct {
	net.PacketConn
	sockets *Sockets

	once    sync.Once
	to      net.Addr
	plain   chan struct{} // closed when reading may begin
	closed  chan struct{}
	closing sync.Once
	wg      sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	dtls  bool
	conn  *dtls.Conn // nil until the handshake is done
	first []byte     // what waits for it: the last packet, Pion repeats the others
	err   error
}

// WriteTo implements net.PacketConn.
func (t *turnSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	t.once.Do(func() { t.begin(to) })
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.dtls:
		return t.PacketConn.WriteTo(b, to)
	case t.err != nil:
		return 0, t.err
	case t.conn == nil:
		t.first = append(t.first[:0], b...)
		return len(b), nil
	}
	return t.conn.Write(b)
}

// begin looks which server this is.
func (t *turnSocket) begin(to net.Addr) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		close(t.plain)
		return
	}
	s := t.sockets
	if s.UDP != nil {
		s.reached(addr.AddrPort().Addr())
	}
	s.mu.Lock()
	name, secure := s.secure.dtls[unmapped(addr.AddrPort())]
	s.mu.Unlock()
	if !secure {
		close(t.plain)
		return
	}
	t.dtls, t.to = true, to
	t.wg.Go(func() {
		defer close(t.plain)
		defer t.sockets.guard.Contain("turn")
		conn, err := t.handshake(name, addr)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.conn, t.err = conn, err; err == nil && t.first != nil {
			_, _ = conn.Write(t.first)
		}
		t.first = nil
	})
}

func (t *turnSocket) handshake(name string, to *net.UDPAddr) (*dtls.Conn, error) {
	s := t.sockets
	conn, err := dtls.ClientWithOptions(t.PacketConn, to, dtls.WithServerName(name), dtls.WithRootCAs(s.roots),
		dtls.WithLoggerFactory(s.log))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, turnWithin)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.log.NewLogger("turn").Warnf("dtls with %s: %v", name, err)
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// ReadFrom implements net.PacketConn.
func (t *turnSocket) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	select {
	case <-t.plain:
	case <-t.closed:
		return 0, nil, net.ErrClosed
	}
	t.mu.Lock()
	secure, conn, err := t.dtls, t.conn, t.err
	t.mu.Unlock()
	switch {
	case err != nil:
		return 0, nil, err
	case secure:
		from = t.to
		n, err = conn.Read(b)
	default:
		n, from, err = t.PacketConn.ReadFrom(b)
	}
	if err == nil && refusal(b[:n]) && !t.isClosed() {
		t.sockets.refused()
	}
	return n, from, err
}

// isClosed tells the refusal that matters from the one of what is being given back.
func (t *turnSocket) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// Close implements net.PacketConn. It waits for a handshake that is under way.
func (t *turnSocket) Close() error {
	t.closing.Do(func() { close(t.closed) })
	t.closeDTLS() // before the socket, so that the server hears of it
	err := t.PacketConn.Close()
	t.wg.Wait() // for a handshake that has no socket any more
	t.closeDTLS()
	return err
}

func (t *turnSocket) closeDTLS() {
	t.mu.Lock()
	conn := t.conn
	t.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}
