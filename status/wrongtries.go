package status

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// How wrong logins are slowed down. The first few of an address cost nothing; then each doubles the wait, up to the
// longest, which is also how long an address must be quiet to be as any other.
const (
	freeTries   = 5
	firstWait   = time.Second
	longestWait = time.Minute
	addresses   = 1024 // that are remembered; an address that is not begins anew
)

var wrongLogins atomic.Uint64

// WrongLogins counts the logins of this process that were refused, whether or not a password was compared.
func WrongLogins() uint64 { return wrongLogins.Load() }

// wrongTries slows down who tries passwords, by remote address.
type wrongTries struct {
	log *slog.Logger

	mu   sync.Mutex // guards the fields below
	from map[netip.Prefix]*tries
	told time.Time // when the log was told last
}

// tries are those of one address.
type tries struct {
	wrong int
	until time.Time // the next one is refused unread before
}

// remote returns the address of who asks, as a prefix: hosts choose the rest of an IPv6 address as they like. All who
// come over a Unix socket are one.
func remote(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the bits fit
	return p
}

// wait returns how long an address has to wait before it may try again.
func (t *wrongTries) wait(from netip.Prefix) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.from[from]; x != nil {
		return time.Until(x.until)
	}
	return 0
}

// wrong notes a wrong login.
func (t *wrongTries) wrong(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	x := t.from[from]
	if x == nil || now.Sub(x.until) > longestWait {
		t.makeRoom(now)
		x = &tries{}
		t.from[from] = x
	}
	x.wrong++
	x.until = now
	over := x.wrong - freeTries
	if over < 0 {
		return
	}
	x.until = now.Add(min(firstWait<<min(over, 10), longestWait))
	if over == 0 && now.Sub(t.told) > time.Minute {
		t.told = now
		t.log.Warn("wrong logins at the status page; the address has to wait before the next", "from", from.Addr(),
			"wrong", x.wrong)
	}
}

// right forgets the wrong tries of an address.
func (t *wrongTries) right(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.from, from)
}

// makeRoom forgets who has been quiet, or else who has been so for the longest time.
func (t *wrongTries) makeRoom(now time.Time) {
	if len(t.from) < addresses {
		return
	}
	var oldest netip.Prefix
	for from, x := range t.from {
		if now.Sub(x.until) > longestWait {
			delete(t.from, from)
		} else if o := t.from[oldest]; o == nil || x.until.Before(o.until) {
			oldest = from
		}
	}
	if len(t.from) >= addresses {
		delete(t.from, oldest)
	}
}
