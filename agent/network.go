package agent

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// network is what all channels of a config share: the AWS keys, the trusted CAs and the media socket. It does not
// change: a reload makes another.
type network struct {
	aws    config.AWS
	webrtc config.WebRTC
	limits config.Limits

	region   string
	awsKeys  credentials.Provider
	roots    *x509.CertPool
	rootsSum [sha256.Size]byte // of the file that roots are from
	engine   *peer.Engine
	crashes  *Crashes
	log      *slog.Logger
	taken    func(error) // is told that another process serves a channel; may be nil
}

// newNetwork opens no socket.
func newNetwork(cfg *config.Config, log *slog.Logger) (*network, error) {
	hideSecrets(cfg)
	n := &network{aws: cfg.AWS, webrtc: cfg.WebRTC, limits: cfg.Limits, region: cfg.AWS.Region, log: log}
	if file := cfg.AWS.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("aws.ca_file (or AWS_CA_BUNDLE): %w", err)
		}
		n.roots, n.rootsSum = x509.NewCertPool(), sha256.Sum256(pem)
		if !n.roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("aws.ca_file (or AWS_CA_BUNDLE): %s holds no certificate; hint: it must be PEM",
				file)
		}
	}
	return n, nil
}

// engineOptions are those of the media socket.
func (n *network) engineOptions() (peer.EngineOptions, error) {
	w := n.webrtc
	var public []string
	for _, a := range w.NAT1To1 {
		public = append(public, a.String())
	}
	proxy, err := turnProxy(string(w.Proxy))
	if err != nil {
		return peer.EngineOptions{}, err
	}
	return peer.EngineOptions{
		UDPPort: w.UDPPort, TCPPort: w.TCPPort, NAT1To1: public, Loopback: isLoopback(n.aws.Endpoint),
		Interfaces: w.Interfaces, Addresses: w.Addresses, NoIPv4: w.IP == "ipv6", NoIPv6: w.IP == "ipv4",
		Remotes: map[string]peer.Remotes{"public": peer.Public, "all": peer.All}[w.Remote], MDNS: w.MDNS,
		Roots: n.roots, Proxy: proxy, Limits: remoteLimits(n.limits), Log: n.log,
	}, nil
}

// open opens the media socket.
func (n *network) open() error {
	o, err := n.engineOptions()
	if err != nil {
		return err
	}
	n.engine, err = peer.NewEngine(o)
	return err
}

// remoteLimits returns what one viewer may send.
func remoteLimits(l config.Limits) peer.Limits {
	return peer.Limits{
		SDP: l.Signaling.SDPBytes, MediaSections: l.Signaling.MediaSections, Candidates: l.Signaling.Candidates,
		EarlyCandidates: l.Signaling.EarlyCandidates,
		Streams:         l.Inbound.Streams, Bitrate: 1000 * l.Inbound.Kilobits, RTCP: l.Inbound.RTCP,
		KeyRequests: l.Inbound.KeyFrames,
		Channels:    l.DataChannels.Count, Message: l.DataChannels.MessageBytes, Messages: l.DataChannels.Messages,
		MessageBytes: l.DataChannels.Bytes,
	}
}

// turnProxy returns the HTTP proxy to a TURN server over TCP: the operator's choice, or else the environment's, as for
// signaling.
func turnProxy(raw string) (func(addr string) (*url.URL, error), error) {
	switch raw {
	case "off":
		return nil, nil
	case "":
		return func(addr string) (*url.URL, error) {
			return http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: addr}})
		}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("webrtc.proxy is not a URL") // the parse error would show the password
	}
	return func(string) (*url.URL, error) { return u, nil }, nil
}

// isLoopback reports whether the service is on this machine. Viewers may be, too, so they are told 127.0.0.1.
func isLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// client returns the signaling client of one channel.
func (n *network) client(o signaling.Options) (*signaling.Client, error) {
	o.Region, o.Endpoint, o.Credentials, o.RootCAs = n.region, n.aws.Endpoint, n.awsKeys, n.roots
	o.DualStack, o.FIPS, o.Spread = n.aws.DualStack, n.aws.FIPS, n.aws.Spread
	o.Hearing = n.aws.Hearing
	return signaling.New(o)
}

// iceTimeout is how long a viewer's answer waits for the list of TURN servers. Most viewers do not need one.
const iceTimeout = 3 * time.Second

// iceServers returns the ICE servers of a new peer: the operator's, and those of the service unless kvs_turn is off.
// From the service it takes one TURN URL over UDP and one over TLS, since each URL costs one of the 50 allocations of a
// channel.
func (n *network) iceServers(ctx context.Context, client *signaling.Client, log *slog.Logger) []peer.ICEServer {
	var out []peer.ICEServer
	for _, s := range n.webrtc.ICEServers {
		server := peer.ICEServer{URLs: s.URLs, Username: s.Username, Credential: string(s.Credential)}
		out = append(out, withoutLogin(server)...)
	}
	if n.aws.Endpoint == "" {
		out = append(out, peer.ICEServer{URLs: []string{stunURL(n.region)}})
	}
	if !n.webrtc.KVSTURN {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	servers, err := client.ICEServers(ctx)
	if err != nil {
		log.Warn("no TURN servers for this viewer", "err", err)
		return out
	}
	for _, kinds := range [][]turnKind{{{"turn:", true}, {"turns:", true}}, {{"turns:", false}, {"turn:", false}}} {
		out = append(out, firstOf(servers, kinds)...)
	}
	return out
}

// withoutLogin leaves TURN servers out that have no credentials: Pion would refuse the whole connection for one.
func withoutLogin(s peer.ICEServer) []peer.ICEServer {
	if s.Username != "" && s.Credential != "" {
		return []peer.ICEServer{s}
	}
	s.URLs = slices.DeleteFunc(slices.Clone(s.URLs), func(u string) bool { return strings.HasPrefix(u, "turn") })
	if len(s.URLs) == 0 {
		return nil
	}
	return []peer.ICEServer{s}
}

// turnKind is how a TURN URL says its server is reached (RFC 7065).
type turnKind struct {
	scheme string
	udp    bool
}

func kindOf(u string) turnKind {
	scheme, rest, _ := strings.Cut(u, ":")
	udp := strings.HasSuffix(rest, "?transport=udp") || scheme == "turn" && !strings.Contains(rest, "?")
	return turnKind{scheme + ":", udp}
}

// firstOf returns the first URL of the first kind that exists.
func firstOf(servers []signaling.ICEServer, kinds []turnKind) []peer.ICEServer {
	for _, kind := range kinds {
		for _, s := range servers {
			if s.Username == "" || s.Password == "" {
				continue
			}
			if i := slices.IndexFunc(s.URLs, func(u string) bool { return kindOf(u) == kind }); i >= 0 {
				return []peer.ICEServer{{URLs: s.URLs[i : i+1], Username: s.Username, Credential: s.Password}}
			}
		}
	}
	return nil
}

// stunURL returns the URL of the service's STUN server (KVS dev guide; UDP port 443).
func stunURL(region string) string {
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix = "amazonaws.com.cn"
	}
	return fmt.Sprintf("stun:stun.kinesisvideo.%s.%s:443", region, suffix)
}
