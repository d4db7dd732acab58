package signaling

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// ICEServer is a set of TURN URLs with one username and password (KVS API reference, IceServer).
type ICEServer struct {
	URLs     []string      // turn: and turns:, with port and transport
	Username string        `json:"-"` // hidden in logs, JSON and formatted text, like Password
	Password string        `json:"-"`
	TTL      time.Duration // from now: how long the service accepts the password for a new allocation
}

// LogValue hides username and password.
func (s ICEServer) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("urls", s.URLs), slog.Duration("ttl", s.TTL))
}

// String hides username and password, also for %v.
func (s ICEServer) String() string { return s.LogValue().String() }

const (
	maxICEURLs = 8                // in total; more would only cost gathering time and the channel's 50 allocations
	iceMargin  = 30 * time.Second // what a peer needs between asking and allocating
	// After a failure, for all peers: the service accepts five requests a second for a channel.
	iceRest    = time.Second
	minICELife = time.Second // keeps a TTL of zero from causing a request for every peer
)

// isICEURL accepts RFC 7065 and RFC 7064 as far as the service uses them: a host name or IPv4 address, a port and an
// optional transport.
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

// iceCache keeps the servers until shortly before their passwords expire.
type iceCache struct {
	control *control

	lock    chan struct{} // one slot; the holder of its token owns the fields below
	servers []ICEServer
	fetched time.Time
	fresh   time.Duration // how long after fetched they are returned without a request
	valid   time.Duration // how long after fetched the service accepts them

	failed time.Time // when the last request failed
	err    error     // and why

	dropped atomic.Bool // the servers will shut down
}

// get returns the servers, from the cache or from the service; concurrent callers share one request. When the service
// does not answer, get returns servers that are still valid for some time.
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
	if i.servers != nil && age(now, i.fetched) < i.fresh {
		return i.left(now), nil
	}
	err := i.err
	if err == nil || now.Sub(i.failed) >= iceRest {
		err = i.fetch(ctx, now)
		if ctx.Err() == nil { // one caller's cancellation must not fail the others
			i.err, i.failed = err, now
		}
	}
	if err != nil && (i.servers == nil || age(now, i.fetched) >= i.valid) {
		return nil, err
	}
	return i.left(now), nil
}

// left returns the servers with the lifetime that remains from now.
func (i *iceCache) left(now time.Time) []ICEServer {
	out := make([]ICEServer, len(i.servers))
	for n, s := range i.servers {
		s.TTL = max(0, s.TTL-age(now, i.fetched))
		out[n] = s
	}
	return out
}

// drop makes the next get ask the service. It does not wait for a request in progress, which may return the old
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

// readICEServers leaves out URLs that no ICE agent could use, and returns the shortest TTL of the rest.
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
