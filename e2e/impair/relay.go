package impair

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

const (
	mostFlows    = 64      // clients of a relay; packets of more are lost
	biggest      = 1 << 16 // bytes of a datagram
	socketBuffer = 4 << 20 // bytes asked of the kernel, so that only the links lose packets
)

// Relay passes datagrams on between its clients and one upstream. Each client, an address and a port, has a socket of
// its own there. After Run has returned the relay is finished; make another.
type Relay struct {
	upstream netip.AddrPort
	socket   *net.UDPConn // where clients come
	down, up *line

	mu    sync.Mutex // guards flows
	flows map[netip.AddrPort]*net.UDPConn
}

// New opens a port on 127.0.0.1 before upstream, which is on loopback too. Until Set the links are perfect. Nothing is
// passed on before Run.
func New(upstream netip.AddrPort, seed uint64) (*Relay, error) {
	if !upstream.Addr().Is4() || !upstream.Addr().IsLoopback() {
		return nil, fmt.Errorf("impair: upstream %v is not on 127.0.0.0/8", upstream)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("impair: %w", err)
	}
	enlarge(socket)
	return &Relay{
		upstream: upstream, socket: socket, down: newLine(seed), up: newLine(seed + 1),
		flows: map[netip.AddrPort]*net.UDPConn{},
	}, nil
}

// enlarge asks for room. The kernel gives what it may.
func enlarge(c *net.UDPConn) {
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort { return r.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set changes the links: down is to the clients, up is from them.
func (r *Relay) Set(down, up Link) {
	r.down.set(down)
	r.up.set(up)
}

// Counts is what went down and up so far.
func (r *Relay) Counts() (down, up Counts) { return r.down.counted(), r.up.counted() }

// Run passes packets on until ctx is done, and then closes the sockets and returns nil.
func (r *Relay) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { r.down.run(ctx) })
	wg.Go(func() { r.up.run(ctx) })
	stop := context.AfterFunc(ctx, func() { r.socket.Close() })
	defer stop()
	defer r.closeFlows()

	buf := make([]byte, biggest)
	for {
		n, client, err := r.socket.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // an ICMP error of a packet that was sent to a client which has gone
		}
		flow, err := r.flow(client, &wg)
		if err != nil {
			r.socket.Close()
			return err
		}
		if flow == nil {
			continue
		}
		data := append([]byte(nil), buf[:n]...)
		r.up.put(n, func() { _, _ = flow.Write(data) }) // an upstream that has gone is as good as loss
	}
}

// flow is the client's socket at the upstream, opened at its first packet, with a goroutine that reads it; nil when
// there are too many.
func (r *Relay) flow(client netip.AddrPort, wg *sync.WaitGroup) (*net.UDPConn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[client]; f != nil || len(r.flows) == mostFlows {
		return f, nil
	}
	f, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(r.upstream))
	if err != nil {
		return nil, fmt.Errorf("impair: to %v: %w", r.upstream, err)
	}
	enlarge(f)
	r.flows[client] = f
	wg.Go(func() { r.answers(f, client) })
	return f, nil
}

// answers reads what comes for a client until its socket is closed.
func (r *Relay) answers(flow *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, biggest)
	for {
		n, err := flow.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // ICMP: the upstream is not there yet
		}
		data := append([]byte(nil), buf[:n]...)
		r.down.put(n, func() { _, _ = r.socket.WriteToUDPAddrPort(data, client) })
	}
}

func (r *Relay) closeFlows() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		f.Close()
	}
}
