package localkvs

import (
	"net"
	"sync"
	"time"

	"github.com/pion/turn/v5"
	"golang.org/x/time/rate"
)

// allocations counts the relays of each channel.
type allocations struct {
	limit int
	mu    sync.Mutex // guards held
	held  map[string]int
}

func (a *allocations) room(arn string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limit < 0 || a.held[arn] < a.limit
}

func (a *allocations) add(arn string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[arn] += n; a.held[arn] <= 0 {
		delete(a.held, arn)
	}
}

// relayAddresses gives each allocation a socket that enforces the bit rate.
type relayAddresses struct {
	turn.RelayAddressGeneratorStatic
	bitrate int
}

func (g *relayAddresses) AllocatePacketConn(conf turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	c, addr, err := g.RelayAddressGeneratorStatic.AllocatePacketConn(conf)
	if err != nil || g.bitrate < 0 {
		return c, addr, err
	}
	bytes := g.bitrate / 8
	limit := func() *rate.Limiter { return rate.NewLimiter(rate.Limit(bytes), max(bytes/4, 64<<10)) }
	return &shaped{c, limit(), limit()}, addr, nil
}

// shaped drops packets above a rate, like a relay with a quota.
type shaped struct {
	net.PacketConn
	in, out *rate.Limiter
}

func (c *shaped) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || c.in.AllowN(time.Now(), n) {
			return n, from, err
		}
	}
}

func (c *shaped) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.out.AllowN(time.Now(), len(b)) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}
