// Package agent is the composition: one supervised signaling channel per entry of the config, one peer per remote client, one hub per
// source.
//
//	config --Apply--> sources (a media.Hub and a peer.Broadcast each)
//	                  channels (a signaling.Client and its sessions each)
//
//	signaling.Client --Event--> channel --Signal--> peer.Conn      and back by Client.Send
//
// One goroutine of a channel owns its sessions. Nothing here decodes media or knows the wire.
package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
	"github.com/kvsagent/kvsagent/internal/netwatch"
	"github.com/kvsagent/kvsagent/media/snapshot"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// Options is what an agent needs beside its config.
type Options struct {
	Version string
	Started func()       // called once, when everything in the first config runs; may be nil
	Log     *slog.Logger // nil is no log
}

// Agent serves the sources and channels of a config.
type Agent struct {
	o       Options
	log     *slog.Logger
	started time.Time
	ended   chan error // 1 slot: why this process has to be started again
	times   stageTimes
	decoder *snapshot.Decoder

	mu       sync.Mutex // guards the fields below
	network  *network   // nil before the first Apply
	sources  map[string]*source
	channels map[string]*channel
}

// New makes an agent that serves nothing yet.
func New(o Options) *Agent {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		o: o, log: o.Log, started: time.Now(), ended: make(chan error, 1), decoder: snapshot.NewDecoder("ffmpeg", decoders, o.Log),
		sources: map[string]*source{}, channels: map[string]*channel{},
	}
}

// Run serves cfg, and then each config that reload brings, until ctx is done. A channel or source whose part of the config has not
// changed does not notice. It returns an error only when the first config cannot be served; a later one that cannot is logged, and the
// agent goes on with what it has; or when nothing but another start of this process opens a camera.
func (a *Agent) Run(ctx context.Context, cfg *config.Config, reload <-chan *config.Config) error {
	defer a.stop()
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { netwatch.Run(watch, a.log, a.networkChanged) })
	if err := a.apply(ctx, cfg); err != nil {
		return err
	}
	if a.o.Started != nil {
		a.o.Started()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.ended:
			return err
		case cfg := <-reload:
			if err := a.apply(ctx, cfg); err != nil {
				a.log.Error("new config not applied", "err", err)
				continue
			}
			a.log.Info("new config applied")
		}
	}
}

// networkChanged tells all channels to look whether they are still connected, or to try again.
func (a *Agent) networkChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range a.channels {
		ch.client.NetworkChanged()
	}
}

// apply makes what runs the same as what cfg wants: it stops what is no longer wanted or has changed, and starts what is missing.
func (a *Agent) apply(ctx context.Context, cfg *config.Config) error {
	wanted, err := newNetwork(ctx, cfg, a.log)
	if err != nil {
		return err
	}
	sources, err := a.prepareSources(cfg)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.network == nil || !a.network.same(wanted) {
		a.stopLocked()
		if err := wanted.open(); err != nil {
			return err
		}
		a.network = wanted
	}
	for name, ch := range a.channels {
		c, ok := cfg.Channels[name]
		if !ok || !reflect.DeepEqual(c, ch.cfg) || a.sources[c.Source] != sources[c.Source] {
			ch.stop()
			delete(a.channels, name)
		}
	}
	for name, s := range a.sources {
		if sources[name] != s {
			s.stop()
		}
	}
	for name, s := range sources {
		if a.sources[name] != s {
			s.start()
		}
	}
	a.sources = sources
	return a.startChannels(cfg)
}

func (a *Agent) startChannels(cfg *config.Config) error {
	var errs []error
	for name, c := range cfg.Channels {
		if a.channels[name] != nil {
			continue
		}
		ch, err := newChannel(name, c, a.network, a.sources[c.Source], &a.times, a.log)
		if err != nil {
			errs = append(errs, fmt.Errorf("channel %s: %w", name, err))
			continue
		}
		a.channels[name] = ch
		ch.start()
	}
	return errors.Join(errs...)
}

// prepareSources makes the sources of cfg, keeping those that have not changed. It starts nothing.
func (a *Agent) prepareSources(cfg *config.Config) (map[string]*source, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]*source{}
	for name, c := range cfg.Sources {
		if s := a.sources[name]; s != nil && reflect.DeepEqual(s.cfg, c) {
			out[name] = s
			continue
		}
		s, err := newSource(name, c, a.log, a.end)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}

func (a *Agent) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopLocked()
}

// stopLocked ends all channels at once, then the sources, then the socket under them.
func (a *Agent) stopLocked() {
	var wg sync.WaitGroup
	for _, ch := range a.channels {
		wg.Go(ch.stop)
	}
	wg.Wait()
	for _, s := range a.sources {
		s.stop()
	}
	a.channels, a.sources = map[string]*channel{}, map[string]*source{}
	if a.network != nil {
		a.network.close()
		a.network = nil
	}
}

// network is what all channels of a config share on their way out: the keys, the trust, the media socket.
type network struct {
	aws    config.AWS
	webrtc config.WebRTC
	limits config.Limits

	region string
	keys   credentials.Provider
	roots  *x509.CertPool
	engine *peer.Engine
	log    *slog.Logger
}

func newNetwork(ctx context.Context, cfg *config.Config, log *slog.Logger) (*network, error) {
	n := &network{aws: cfg.AWS, webrtc: cfg.WebRTC, limits: cfg.Limits, region: cfg.AWS.Region, log: log}
	if file := cfg.AWS.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("aws.ca_file (or AWS_CA_BUNDLE): %w", err)
		}
		n.roots = x509.NewCertPool()
		if !n.roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("aws.ca_file (or AWS_CA_BUNDLE): %s holds no certificate; hint: it must be PEM", file)
		}
	}
	keys, err := newKeys(ctx, cfg.AWS, log)
	if err != nil {
		return nil, err
	}
	n.keys = keys
	return n, nil
}

func (n *network) same(o *network) bool {
	return reflect.DeepEqual(n.aws, o.aws) && reflect.DeepEqual(n.webrtc, o.webrtc) && n.limits == o.limits
}

func (n *network) open() error {
	var public []string
	for _, a := range n.webrtc.NAT1To1 {
		public = append(public, a.String())
	}
	var err error
	n.engine, err = peer.NewEngine(peer.EngineOptions{
		UDPPort: n.webrtc.UDPPort, NAT1To1: public, Loopback: isLoopback(n.aws.Endpoint), Limits: remoteLimits(n.limits), Log: n.log,
	})
	return err
}

// remoteLimits is what one viewer may send.
func remoteLimits(l config.Limits) peer.Limits {
	return peer.Limits{
		SDP: l.Signaling.SDPBytes, MediaSections: l.Signaling.MediaSections, Candidates: l.Signaling.Candidates, EarlyCandidates: l.Signaling.EarlyCandidates,
		Streams: l.Inbound.Streams, Bitrate: 1000 * l.Inbound.Kilobits, RTCP: l.Inbound.RTCP, KeyRequests: l.Inbound.KeyFrames,
		Channels: l.DataChannels.Count, Message: l.DataChannels.MessageBytes, Messages: l.DataChannels.Messages, MessageBytes: l.DataChannels.Bytes,
	}
}

func (n *network) close() { _ = n.engine.Close() }

// isLoopback says whether the service is on this very machine. Then so may the viewers be, and 127.0.0.1 is an address worth telling them.
func isLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// client makes the signaling client of one channel.
func (n *network) client(o signaling.Options) (*signaling.Client, error) {
	o.Region, o.Endpoint, o.Credentials, o.RootCAs = n.region, n.aws.Endpoint, n.keys, n.roots
	o.DualStack, o.FIPS, o.Spread = n.aws.DualStack, n.aws.FIPS, n.aws.Spread
	return signaling.New(o)
}

// iceTimeout is how long a viewer's answer waits for TURN servers. Most viewers do without.
const iceTimeout = 3 * time.Second

// iceServers gives what a new peer may use: the operator's servers, and those of the service. Of the service's it takes one TURN URL over
// UDP and one over TLS, since each URL costs one of the 50 allocations that a channel has.
func (n *network) iceServers(ctx context.Context, client *signaling.Client, log *slog.Logger) []peer.ICEServer {
	var out []peer.ICEServer
	for _, s := range n.webrtc.ICEServers {
		out = append(out, peer.ICEServer{URLs: s.URLs, Username: s.Username, Credential: string(s.Credential)})
	}
	if n.aws.Endpoint == "" {
		out = append(out, peer.ICEServer{URLs: []string{stunURL(n.region)}})
	}
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	servers, err := client.ICEServers(ctx)
	if err != nil {
		log.Warn("no TURN servers for this viewer", "err", err)
		return out
	}
	for _, prefer := range []func(string) bool{isTURNOverUDP, isTURNOverTLS} {
		for _, s := range servers {
			if i := slices.IndexFunc(s.URLs, prefer); i >= 0 {
				out = append(out, peer.ICEServer{URLs: s.URLs[i : i+1], Username: s.Username, Credential: s.Password})
				break
			}
		}
	}
	return out
}

func isTURNOverUDP(u string) bool {
	return strings.HasPrefix(u, "turn:") && !strings.HasSuffix(u, "?transport=tcp")
}

func isTURNOverTLS(u string) bool {
	return strings.HasPrefix(u, "turns:") && strings.HasSuffix(u, "?transport=tcp")
}

// stunURL is the service's STUN server (KVS dev guide; UDP port 443).
func stunURL(region string) string {
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix = "amazonaws.com.cn"
	}
	return fmt.Sprintf("stun:stun.kinesisvideo.%s.%s:443", region, suffix)
}
