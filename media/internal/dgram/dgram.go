// Package dgram is a UDP socket that media comes in on: unicast or multicast, from one sender. It also knows the
// options that URLs of such sources share.
package dgram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"syscall"
)

// bufferSize is what we ask the system to hold for us: a large key frame comes in one burst. It may give less.
const bufferSize = 2 << 20

// Options says where to listen.
type Options struct {
	Host      string     // address of this host or of a multicast group; "" is every address of this host
	Port      int        // 1 to 65535; 0 is a free one
	Interface string     // that joins the multicast group; "" is the system's choice
	From      netip.Addr // the sender; when it is not valid the first that sends is the one
	Beside    *Conn      // takes the place of From: what the sender of that one sends, and nothing before it is known
}

// Query reads Interface and From as the query of a URL has them: interface=eth0&from=192.0.2.10.
func (o *Options) Query(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for key, value := range values {
		switch {
		case key == "interface" && len(value) == 1:
			o.Interface = value[0]
		case key == "from" && len(value) == 1:
			if o.From, err = netip.ParseAddr(value[0]); err != nil {
				return fmt.Errorf("from: %q is no IP address", value[0])
			}
			o.From = o.From.Unmap()
		default:
			return fmt.Errorf("unknown or repeated option %q; hint: interface and from are known", key)
		}
	}
	return nil
}

// Conn is one socket. Close it.
type Conn struct {
	udp    *net.UDPConn
	beside bool
	from   *sender
}

// sender is who sends to one socket, or to some that belong together.
type sender struct {
	mu   sync.Mutex // guards the field below
	addr netip.Addr // not valid before it is known
}

// Listen opens the socket.
func Listen(ctx context.Context, o Options) (*Conn, error) {
	udp, err := listen(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("udp %s: %w%s", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), cause(err), hint(err))
	}
	_ = udp.SetReadBuffer(bufferSize)
	if o.Beside != nil {
		return &Conn{udp: udp, beside: true, from: o.Beside.from}, nil
	}
	return &Conn{udp: udp, from: &sender{addr: o.From}}, nil
}

func listen(ctx context.Context, o Options) (*net.UDPConn, error) {
	if ip, err := netip.ParseAddr(o.Host); err == nil && ip.IsMulticast() {
		var iface *net.Interface
		if o.Interface != "" {
			if iface, err = net.InterfaceByName(o.Interface); err != nil {
				return nil, err
			}
		}
		return net.ListenMulticastUDP("udp", iface, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(o.Port))))
	}
	pc, err := new(net.ListenConfig).ListenPacket(ctx, "udp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

// Port returns where it listens.
func (c *Conn) Port() int { return c.udp.LocalAddr().(*net.UDPAddr).Port }

// Close ends Read.
func (c *Conn) Close() error { return c.udp.Close() }

// Read reads one datagram of the sender. Those of others are left out: on a port that is open to a network anybody
// could mix in a picture.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		n, addr, err := c.udp.ReadFromUDPAddrPort(p)
		if err != nil {
			return 0, err
		}
		if c.from.is(addr.Addr().Unmap(), !c.beside) && n > 0 {
			return n, nil
		}
	}
}

// is reports whether a is the sender. When nobody is, it may become it.
func (s *sender) is(a netip.Addr, may bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.addr.IsValid() && may {
		s.addr = a
	}
	return s.addr == a
}

// cause returns the error of the system without the address, which is said already.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; hint: another program listens there, or another source"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; hint: this is no address of this host; leave the host out to listen on all"
	case errors.Is(err, syscall.EACCES):
		return "; hint: ports below 1024 are for root"
	}
	return ""
}
