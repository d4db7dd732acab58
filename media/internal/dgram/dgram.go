// Package dgram is a UDP socket for incoming media: unicast or multicast, from one sender. It also parses the options
// that URLs of such sources share.
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

// bufferSize is the receive buffer that we ask for, since a large key frame arrives in one burst. The system may grant
// less.
const bufferSize = 2 << 20

// Options says where to listen.
type Options struct {
	Host      string     // an address of this host or a multicast group; "" means all addresses of this host
	Port      int        // 1 to 65535; 0 is a free one
	Interface string     // that joins the multicast group; "" is the system's choice
	From      netip.Addr // the sender; when not valid, the first one that sends
	Beside    *Conn      // replaces From: accept the sender of that socket, and nothing before it is known
}

// Query parses Interface and From from the query of a URL: interface=eth0&from=192.0.2.10.
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
				return fmt.Errorf("from: %q is not an IP address", value[0])
			}
			o.From = o.From.Unmap()
		default:
			return fmt.Errorf("unknown or repeated option %q; hint: interface and from are known", key)
		}
	}
	return nil
}

// Conn is one socket. The caller must close it.
type Conn struct {
	udp    *net.UDPConn
	beside bool
	from   *sender
}

// sender is the peer of one socket, or of several that belong together.
type sender struct {
	mu   sync.Mutex // guards the field below
	addr netip.Addr // not valid until known
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

// Port returns the port that it listens on.
func (c *Conn) Port() int { return c.udp.LocalAddr().(*net.UDPAddr).Port }

// Close ends Read.
func (c *Conn) Close() error { return c.udp.Close() }

// Read reads one datagram of the sender. It drops those of others: anybody could otherwise inject a picture through a
// port that is open to a network.
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

// is reports whether a is the sender. If there is none yet and may is set, a becomes the sender.
func (s *sender) is(a netip.Addr, may bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.addr.IsValid() && may {
		s.addr = a
	}
	return s.addr == a
}

// cause returns the system's error without the address, which the message already has.
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
		return "; hint: this host does not have this address; leave the host out to listen on all"
	case errors.Is(err, syscall.EACCES):
		return "; hint: ports below 1024 are for root"
	}
	return ""
}
