package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// EngineOptions says how all connections of a process meet the network. The zero value works.
type EngineOptions struct {
	UDPPort  int           // the one UDP port of all connections; 0 is any free one
	Loopback bool          // offer 127.0.0.1 and take remotes on it: for development on one machine
	NAT1To1  []string      // public addresses of this host behind a 1:1 NAT
	Limits   Limits        // of each remote
	Net      transport.Net // nil is the host's network; tests pass a virtual one
	Log      *slog.Logger
}

// Engine is what all connections share: the UDP socket, the settings. Close it after the last Conn has ended.
type Engine struct {
	o        EngineOptions
	settings webrtc.SettingEngine
	mux      ice.UDPMux
	telling  chan struct{}    // an element for each refused viewer that is being told why
	out      *udpbatch.Sender // the mux's socket, for packets that go around Pion; nil on a virtual network
}

// NewEngine opens the shared socket.
func NewEngine(o EngineOptions) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.filled()
	e := &Engine{o: o, telling: make(chan struct{}, tellingAtOnce)}
	s := &e.settings
	s.LoggerFactory = pionLog{o.Log}
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled) // a parser in every camera's LAN is not worth it: viewers with .local names arrive as peer reflexive
	s.SetPrflxAcceptanceMinWait(0)                         // browsers hide their addresses, so most viewers are peer reflexive
	s.DisableActiveTCP(true)                               // a remote must not make us open TCP connections
	s.SetDTLSInsecureSkipHelloVerify(true)                 // ICE has verified the address already; saves a round trip
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetIncludeLoopbackCandidate(o.Loopback)
	s.SetRemoteIPFilter(e.acceptable)
	if len(o.NAT1To1) > 0 {
		if err := s.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: o.NAT1To1, AsCandidateType: webrtc.ICECandidateTypeHost,
		}); err != nil {
			return nil, fmt.Errorf("nat_1to1: %w", err)
		}
	}
	if o.Net != nil {
		s.SetNet(o.Net)
	} else {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: o.UDPPort})
		if err != nil {
			return nil, fmt.Errorf("webrtc udp port: %w; hint: is another agent running? choose another webrtc.udp_port", err)
		}
		_ = conn.SetReadBuffer(socketBuffer) // as much of it as the system allows
		_ = conn.SetWriteBuffer(socketBuffer)
		e.out = udpbatch.New(conn)
		e.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: s.LoggerFactory.NewLogger("udpmux")})
		s.SetICEUDPMux(e.mux)
	}
	return e, nil
}

// socketBuffer holds the packets of a frame for very many viewers.
const socketBuffer = 4 << 20

// Close closes the shared socket.
func (e *Engine) Close() error {
	if e.mux == nil {
		return nil
	}
	return e.mux.Close()
}

// Dropped counts the datagrams with media that the kernel did not take: the socket's buffer was full, or there is no way to the address.
func (e *Engine) Dropped() uint64 {
	if e.out == nil {
		return 0
	}
	return e.out.Dropped()
}

// acceptable says whether packets may go to a remote's address. It holds for addresses that packets came from, too.
func (e *Engine) acceptable(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && mayReach(a, e.o.Loopback)
}

// certificate makes the DTLS certificate of one connection. It takes less than a millisecond (ECDSA), and with one of its own a connection
// is told from the one that the same client had before.
func certificate() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("dtls key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("dtls certificate: %w", err)
	}
	return *cert, nil
}

// connection makes a peer connection with the given codecs. keys learns the keys of what we send, nil when that is nothing; s is the connection's network,
// nil for a virtual one; in counts what comes.
func (e *Engine) connection(codecs *codecSet, ice []ICEServer, relayOnly bool, keys *srtpKeys, s *sockets, in *inbound) (*webrtc.PeerConnection, error) {
	cert, err := certificate()
	if err != nil {
		return nil, err
	}
	registry, err := receiving(in.receive)
	if err != nil {
		return nil, err
	}
	settings := e.settings
	settings.BufferFactory = in.buffer
	if keys != nil {
		keys.attach(&settings)
	}
	if s != nil {
		settings.SetNet(s)
	}
	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs.engine), webrtc.WithInterceptorRegistry(registry))
	config := webrtc.Configuration{Certificates: []webrtc.Certificate{cert}, BundlePolicy: webrtc.BundlePolicyMaxBundle}
	if relayOnly {
		config.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	config.ICEServers = servers(ice)
	pc, err := api.NewPeerConnection(config)
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	return pc, nil
}

// servers are ICE servers for Pion.
func servers(list []ICEServer) (out []webrtc.ICEServer) {
	for _, s := range list {
		out = append(out, webrtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return out
}

// receiving is what Pion does for tracks that we receive: it asks for lost packets and reports on what came, and when media was asked for on each packet. For tracks that we send it does nothing: a
// copy of every packet for every viewer is most of the memory of a fan-out, and a fifth of its time. outTrack does it from what all viewers
// share.
func receiving(media bool) (*interceptor.Registry, error) {
	r := &interceptor.Registry{}
	again, err := nack.NewGeneratorInterceptor()
	if err != nil {
		return nil, fmt.Errorf("nack: %w", err)
	}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("receiver reports: %w", err)
	}
	r.Add(restoredNACK{again})
	r.Add(reports)
	if media {
		each, err := twcc.NewSenderInterceptor()
		if err != nil {
			return nil, fmt.Errorf("transport-wide feedback: %w", err)
		}
		r.Add(each)
	}
	return r, nil
}

// ICEServer is a STUN or TURN server: URLs such as "stun:host:port" or "turn:host:port?transport=udp" (RFC 7064, RFC 7065).
type ICEServer struct {
	URLs                 []string
	Username, Credential string
}

// LogValue hides the credential.
func (s ICEServer) LogValue() slog.Value { return slog.AnyValue(s.URLs) }
