package peer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	piontransport "github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// EngineOptions says how all connections of a process meet the network. The zero value works.
type EngineOptions struct {
	UDPPort  int      // the one UDP port of all connections; 0 is any free one
	TCPPort  int      // take TCP connections of remotes here (RFC 6544, passive); 0: no TCP
	Loopback bool     // offer 127.0.0.1 and take remotes on it: for development on one machine
	NAT1To1  []string // public addresses of this host behind a 1:1 NAT
	// Whose addresses remotes are told, as patterns of path.Match; nil is all but those of containers, virtual machines
	// and tunnels.
	Interfaces []string
	Addresses  []netip.Prefix // which of their addresses; nil is all
	NoIPv4     bool
	NoIPv6     bool
	Remotes    Remotes          // where remotes may send us; default is OnLink
	MDNS       bool             // resolve the .local names of remotes
	Limits     transport.Limits // of each remote

	Roots *x509.CertPool                      // whom to trust as TURN servers over TLS and DTLS; nil is the system's
	Proxy func(addr string) (*url.URL, error) // the HTTP proxy to a TURN server over TCP or TLS; a nil URL: no proxy

	Net piontransport.Net // nil is the host's network; tests pass a virtual one
	Log *slog.Logger
}

// Engine is what all connections share: the sockets, the settings. Close it after the last Conn has ended, or Retire it
// before.
type Engine struct {
	o        EngineOptions
	settings webrtc.SettingEngine
	indirect sync.Once // it was told that keys are not to be had
	*shared
}

// shared is what Engines with the same sockets have in common.
type shared struct {
	notices chan struct{} // an element for each refused viewer that is being told why
	net     piontransport.Net
	host    *transport.HostNetwork // net, when it is the host's
	udp     *transport.UDPSocket   // of all connections but those that are viewers; nil on a virtual network
	tcp     ice.TCPMux             // nil without TCP
	panics  atomic.Uint64          // that have ended connections
	certs   Certificates           // of connections whose Config names none

	mu      sync.Mutex // guards the fields below
	running int        // connections
	retired bool       // the last of them closes the sockets
	closed  bool       // they are
}

// dtlsAgain is how long an answer to a flight of the DTLS handshake is waited for at first, each time twice as long as
// before. RFC 6347 section 4.2.4.1 has a second, and lets those whom it makes wait take less; browsers take 50 ms. With
// a second, one handshake in a hundred did not end within the setup timeout at 20 % loss.
const dtlsAgain = 200 * time.Millisecond

// NewEngine opens the shared socket.
func NewEngine(o EngineOptions) (*Engine, error) {
	e := &Engine{shared: &shared{notices: make(chan struct{}, noticesAtOnce)}}
	if err := e.set(o); err != nil {
		return nil, err
	}
	o = e.o
	if o.Net != nil {
		e.net = o.Net
		return e, nil
	}
	var err error
	if e.host, err = transport.NewHostNetwork(transport.HostOptions{
		Interfaces: o.Interfaces, Addresses: o.Addresses, NoIPv4: o.NoIPv4, NoIPv6: o.NoIPv6, Loopback: o.Loopback,
	}); err != nil {
		return nil, err
	}
	e.net = e.host
	if err := e.listenUDP(); err != nil {
		return nil, err
	}
	if o.TCPPort != 0 {
		if err := e.listenTCP(); err != nil {
			_ = e.Close()
			return nil, err
		}
	}
	return e, nil
}

// With returns an Engine with other options and the same sockets. Connections that there are keep the options that they
// began with. It is an error when the options ask for other sockets.
func (e *Engine) With(o EngineOptions) (*Engine, error) {
	if !e.SameSockets(o) {
		return nil, errors.New("other options for the sockets; hint: make another Engine")
	}
	n := &Engine{shared: e.shared}
	if err := n.set(o); err != nil {
		return nil, err
	}
	if e.udp != nil {
		n.settings.SetICEUDPMux(e.udp.Mux)
	}
	if e.tcp != nil {
		n.settings.SetICETCPMux(e.tcp)
	}
	return n, nil
}

// SameSockets says whether options ask for the sockets and addresses that the Engine has.
func (e *Engine) SameSockets(o EngineOptions) bool {
	return e.o.UDPPort == o.UDPPort && e.o.TCPPort == o.TCPPort && e.o.Loopback == o.Loopback &&
		e.o.NoIPv4 == o.NoIPv4 && e.o.NoIPv6 == o.NoIPv6 && e.o.Net == o.Net &&
		slices.Equal(e.o.Interfaces, o.Interfaces) && slices.Equal(e.o.Addresses, o.Addresses)
}

// set takes options over into settings.
func (e *Engine) set(o EngineOptions) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.Filled()
	e.o = o
	s := &e.settings
	s.LoggerFactory = transport.PionLog{Log: o.Log}
	s.SetICEMulticastDNSMode(mdnsMode(o.MDNS))
	s.SetPrflxAcceptanceMinWait(0)         // browsers hide their addresses, so most viewers are peer reflexive
	s.DisableActiveTCP(true)               // a remote must not make us open TCP connections
	s.SetDTLSInsecureSkipHelloVerify(true) // ICE has verified the address already; saves a round trip
	s.SetDTLSRetransmissionInterval(dtlsAgain)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM,
		dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetIncludeLoopbackCandidate(o.Loopback)
	s.SetRemoteIPFilter(e.acceptable)
	s.SetNetworkTypes(networkTypes(o))
	if len(o.NAT1To1) > 0 {
		if err := s.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: o.NAT1To1, AsCandidateType: webrtc.ICECandidateTypeHost,
		}); err != nil {
			return fmt.Errorf("nat_1to1: %w", err)
		}
	}
	return nil
}

// mdnsMode is off by default: a parser in every camera's LAN is not worth it, and viewers with .local names arrive as
// peer reflexive.
func mdnsMode(on bool) ice.MulticastDNSMode {
	if on {
		return ice.MulticastDNSModeQueryOnly
	}
	return ice.MulticastDNSModeDisabled
}

func networkTypes(o EngineOptions) (out []webrtc.NetworkType) {
	for _, t := range []struct {
		kind webrtc.NetworkType
		off  bool
	}{
		{webrtc.NetworkTypeUDP4, o.NoIPv4}, {webrtc.NetworkTypeUDP6, o.NoIPv6},
		{webrtc.NetworkTypeTCP4, o.NoIPv4 || o.TCPPort == 0}, {webrtc.NetworkTypeTCP6, o.NoIPv6 || o.TCPPort == 0},
	} {
		if !t.off {
			out = append(out, t.kind)
		}
	}
	return out
}

// listenUDP opens the shared socket.
func (e *Engine) listenUDP() (err error) {
	if e.udp, err = transport.ListenUDP(e.o.UDPPort, transport.SocketBuffer, e.host,
		e.settings.LoggerFactory); err != nil {
		return err
	}
	e.settings.SetICEUDPMux(e.udp.Mux)
	return nil
}

func (e *Engine) listenTCP() error {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: e.o.TCPPort})
	if err != nil {
		return fmt.Errorf("webrtc tcp port: %w; hint: is another program there? choose another webrtc.tcp_port", err)
	}
	e.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: transport.NewConnLimitListener(l), Logger: e.settings.LoggerFactory.NewLogger("tcpmux"),
		ReadBufferSize: 32, WriteBufferSize: 1 << 20, FirstStunBindTimeout: 5 * time.Second,
		AliveDurationForConnFromStun: 5 * time.Second,
	})
	e.settings.SetICETCPMux(e.tcp)
	return nil
}

// Retire closes the shared sockets once no connection uses them: at once, or when the last has ended.
func (e *Engine) Retire() {
	e.mu.Lock()
	e.retired = true
	idle := e.running == 0
	e.closed = e.closed || idle // before anybody can revive it
	e.mu.Unlock()
	if idle {
		_ = e.Close()
	}
}

// Revive takes Retire back. It reports false when the sockets are closed already, or of no more use.
func (e *Engine) Revive() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.Err() != nil {
		return false
	}
	e.retired = false
	return true
}

// Closed says whether the shared sockets are closed.
func (e *Engine) Closed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// use notes a connection that runs, until left is called.
func (e *Engine) use() (left func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running++
	return func() {
		e.mu.Lock()
		e.running--
		last := e.retired && e.running == 0
		e.closed = e.closed || last
		e.mu.Unlock()
		if last {
			_ = e.Close()
		}
	}
}

// Close closes the shared sockets.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	var errs []error
	if e.tcp != nil {
		errs = append(errs, e.tcp.Close())
	}
	return errors.Join(append(errs, e.udp.Close())...)
}

// onIndirect tells why the media of a connection goes through Pion. Some viewers leave no other way. When the keys are
// not to be had any more, with nobody's fault but a new handshake's, that holds for all, and is told once.
func (e *Engine) onIndirect(log *slog.Logger, why error) {
	log.Debug("media goes through pion", "why", why)
	if errors.Is(why, transport.ErrNoSecret) {
		e.indirect.Do(func() {
			e.o.Log.Warn("media goes through pion, which takes several times the processor time", "why", why,
				"hint", "please report it with the viewer's browser and version")
		})
	}
}

// Dropped counts the datagrams with media that the kernel did not take: the socket's buffer was full, or there is no
// way to the address.
func (e *Engine) Dropped() uint64 {
	if e.udp == nil {
		return 0
	}
	return e.udp.Out.Dropped()
}

// Failed is closed when the shared socket has failed and the Engine was not closed; nil on a virtual
// network. Err says why. Nobody comes in any more then: make another Engine.
func (e *Engine) Failed() <-chan struct{} {
	if e.udp == nil {
		return nil
	}
	return e.udp.In.Faults.Failed
}

// Err is why the shared socket is of no more use; nil while it is good.
func (e *Engine) Err() error {
	if e.udp == nil {
		return nil
	}
	return e.udp.In.Faults.Reason()
}

// off says whether a network such as "udp6" is of a family that is turned off.
func (e *Engine) off(network string) bool { return e.host != nil && e.host.Off(network) }

// acceptable says whether packets may go to an address that a remote was heard from. What a remote only says is judged
// more strictly.
func (e *Engine) acceptable(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && sdp.MayAnswer(a, e.o.Loopback)
}

// connection makes a peer connection with the given codecs and certificate. keys learns the keys of what we send, nil
// when that is nothing; s is the connection's network; in counts what comes; failed gets what Pion only logs.
func (e *Engine) connection(codecs *codecSet, cert webrtc.Certificate, ice []transport.ICEServer,
	policy webrtc.ICETransportPolicy, keys *transport.SRTPKeys,
	s *transport.Sockets, in *transport.Inbound, failed func(error)) (*webrtc.PeerConnection, error) {
	registry, err := receive.Interceptors(in.Receive)
	if err != nil {
		return nil, err
	}
	settings := e.settings
	settings.BufferFactory = in.Buffer
	settings.LoggerFactory = transport.PionLog{Log: e.o.Log, Failed: failed, Unhandled: in.Unhandled}
	if keys != nil {
		keys.Attach(&settings)
	}
	settings.SetNet(s)
	if s.UDP != nil {
		settings.SetICEUDPMux(s.UDP.Mux)
		settings.SetICEProxyDialer(s)
	}
	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs.engine),
		webrtc.WithInterceptorRegistry(registry))
	config := webrtc.Configuration{Certificates: []webrtc.Certificate{cert}, BundlePolicy: webrtc.BundlePolicyMaxBundle}
	config.ICETransportPolicy, config.ICEServers = policy, s.Servers(ice)
	pc, err := api.NewPeerConnection(config)
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	return pc, nil
}

// Panics counts the panics that have ended connections.
func (e *Engine) Panics() uint64 { return e.panics.Load() }

// CheckOffer says why an offer is not one, or larger than any honest client's. It is cheap, and costs no connection.
func (e *Engine) CheckOffer(offer string) error { return e.o.Limits.CheckSDP(offer) }

// newSockets is the network as one connection sees it.
func (e *Engine) newSockets(g *contain.Guard, refused func()) *transport.Sockets {
	return transport.NewSockets(transport.SocketOptions{
		Net: e.net, UDP: e.udp, Host: e.host, Roots: e.o.Roots, Proxy: e.o.Proxy, Log: e.settings.LoggerFactory,
		Guard: g, Refused: refused,
	})
}

// Stuck says for how long the reader of the shared socket has been dealing with one packet. It must be called again and
// again.
func (e *Engine) Stuck(now time.Time) time.Duration {
	if e.udp == nil {
		return 0
	}
	return e.udp.In.Work.Stuck(now)
}
