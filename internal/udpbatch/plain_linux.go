package udpbatch

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// plainAddrs are addresses for which the kernel does not segment messages. The zero value is empty.
type plainAddrs struct {
	n  atomic.Int32 // entries; usually none
	mu sync.Mutex   // guards the field below
	at map[netip.AddrPort]time.Time
}

const (
	plainMost = 1024             // addresses
	plainFor  = 10 * time.Minute // as long as the kernel caches a path's MTU (RFC 8201 section 5.3)
)

func (p *plainAddrs) has(to netip.AddrPort) bool {
	if p.n.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[to]
	if ok && time.Since(at) > plainFor {
		delete(p.at, to)
		p.n.Store(int32(len(p.at)))
		return false
	}
	return ok
}

// add adds an address and returns the number of entries.
func (p *plainAddrs) add(to netip.AddrPort) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil || len(p.at) >= plainMost {
		p.at = map[netip.AddrPort]time.Time{}
	}
	p.at[to] = time.Now()
	p.n.Store(int32(len(p.at)))
	return len(p.at)
}

// zones caches the numbers of interfaces by name. The zero value is empty.
type zones struct {
	mu sync.Mutex // guards the field below
	at map[string]zone
}

type zone struct {
	index uint32
	at    time.Time // when it was looked up
}

const (
	zonesMost = 64
	zoneFor   = time.Minute // an interface may come back under another number
)

// index returns the number of the zone of an IPv6 address (RFC 4007 section 11), 0 for a missing one.
func (z *zones) index(name string) uint32 {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if known, ok := z.at[name]; ok && time.Since(known.at) < zoneFor {
		return known.index
	}
	if z.at == nil || len(z.at) >= zonesMost {
		z.at = map[string]zone{}
	}
	known := zone{at: time.Now()}
	if i, err := net.InterfaceByName(name); err == nil {
		known.index = uint32(i.Index)
	}
	z.at[name] = known
	return known.index
}
