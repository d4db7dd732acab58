package signaling

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// ICEServer is a set of TURN addresses with one name and password (KVS API reference, IceServer).
type ICEServer struct {
	URLs     []string      // turn: and turns:, with port and transport
	Username string        `json:"-"` // hidden in logs, JSON and formatted text, as is Password
	Password string        `json:"-"`
	TTL      time.Duration // how long from now the service takes the password for a new allocation
}

// LogValue hides name and password.
func (s ICEServer) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("urls", s.URLs), slog.Duration("ttl", s.TTL))
}

// String hides name and password, also from %v.
func (s ICEServer) String() string { return s.LogValue().String() }

const (
	maxICEURLs = 8                // in all; more only cost gathering time and the channel's 50 allocations
	iceMargin  = 30 * time.Second // what a peer needs between asking and allocating
	// After a failure, for all peers: the service takes five requests a second for a channel.
	iceRest    = time.Second
	minICELife = time.Second // keeps a service that says "no time at all" from being asked for every peer
)

// isICEURL is RFC 7065 and RFC 7064, in so far as the service uses them: a host's name or IPv4 address, a port and a
// transport or neither.
func isICEURL(s string) bool {
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "stun", "stuns", "turn", "turns":
	default:
		return false
	}
	rest, transport, found := strings.Cut(rest, "?")
	if found && transport != "transport=udp" && transport != "transport=tcp" {
		return false
	}
	host, port, found := strings.Cut(rest, ":")
	if found && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return len(host) <= 253 && isID(host)
}

// iceCache keeps the servers until their passwords are about to end.
type iceCache struct {
	control *control

	lock    chan struct{} // one slot; who holds its token owns the fields below
	servers []ICEServer
	fetched time.Time
	fresh   time.Duration // how long after fetched they are handed out without asking
	valid   time.Duration // how long after fetched the service takes them

	failed time.Time // when the service last did not answer
	err    error     // and why

	dropped atomic.Bool // the servers will shut down
}

// get returns the servers, from memory or from the service; many callers make one request. When the service does not
// answer, servers that still have some time left are better than none.
func (i *iceCache) get(ctx context.Context) ([]ICEServer, error) {
	select {
	case i.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-i.lock }()
	now := i.control.opts.Now()
	if i.dropped.Swap(false) {
		i.servers = nil
	}
	if i.servers != nil && now.Sub(i.fetched) < i.fresh {
		return i.left(now), nil
	}
	err := i.err
	if err == nil || now.Sub(i.failed) >= iceRest {
		err = i.fetch(ctx, now)
		if ctx.Err() == nil { // one caller's end is not the others'
			i.err, i.failed = err, now
		}
	}
	if err != nil && (i.servers == nil || now.Sub(i.fetched) >= i.valid) {
		return nil, err
	}
	return i.left(now), nil
}

// left is the servers with the time that they have from now.
func (i *iceCache) left(now time.Time) []ICEServer {
	out := make([]ICEServer, len(i.servers))
	for n, s := range i.servers {
		s.TTL = max(0, s.TTL-now.Sub(i.fetched))
		out[n] = s
	}
	return out
}

// drop makes the next get ask the service. It does not wait for one that is asking now, whose answer may be the old
// servers.
func (i *iceCache) drop() { i.dropped.Store(true) }

// fetch asks the service. The caller holds the lock.
func (i *iceCache) fetch(ctx context.Context, now time.Time) error {
	const op = "GetIceServerConfig"
	ch, remembered, err := i.control.find(ctx)
	if err != nil {
		return err
	}
	in := struct {
		ChannelARN string
		ClientID   string `json:"ClientId,omitempty"`
		Service    string
	}{ch.arn, i.control.opts.ClientID, "TURN"}
	var out struct{ IceServerList []iceServerJSON }
	err = i.control.call(ctx, op, ch.https, "/v1/get-ice-server-config", in, &out)
	if i.control.doubtKeys(err) {
		err = i.control.call(ctx, op, ch.https, "/v1/get-ice-server-config", in, &out)
	}
	if err != nil {
		if remembered && stale(err) {
			i.control.forget(ctx)
		}
		return err
	}
	servers, ttl := readICEServers(out.IceServerList)
	if len(servers) == 0 {
		return &badAnswerError{op, errors.New("no usable server in it")}
	}
	i.servers, i.fetched, i.valid = servers, now, ttl
	i.fresh = max(ttl-iceMargin, minICELife)
	return nil
}

// iceServerJSON is an element of the answer.
type iceServerJSON struct {
	Uris               []string
	Username, Password string
	Ttl                int64 // seconds
}

// readICEServers leaves out what no ICE agent could use, and returns the shortest life of the rest.
func readICEServers(list []iceServerJSON) (servers []ICEServer, ttl time.Duration) {
	total := 0
	for _, in := range list {
		s := ICEServer{Username: in.Username, Password: in.Password,
			TTL: time.Duration(min(max(in.Ttl, 0), 86400)) * time.Second}
		for _, u := range in.Uris {
			if total < maxICEURLs && isICEURL(u) {
				s.URLs = append(s.URLs, u)
				total++
			}
		}
		if len(s.URLs) == 0 {
			continue
		}
		if len(servers) == 0 || s.TTL < ttl {
			ttl = s.TTL
		}
		servers = append(servers, s)
	}
	return servers, ttl
}
