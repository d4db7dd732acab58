package storage

import (
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/kvsagent/kvsagent/localkvs"
)

const (
	videoRate = 90000 // RTP ticks a second
	audioRate = 48000
)

var (
	video = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: videoRate,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}
	audio = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: audioRate, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}
)

// newPeer makes a peer connection that knows only H.264 and Opus, like the service's. Its candidates come from the
// service's TURN server, like the real ones, and from loopback when everything is on one machine.
func newPeer(turn localkvs.TURNServer, log *slog.Logger) (*webrtc.PeerConnection, error) {
	codecs := &webrtc.MediaEngine{}
	for kind, profile := range map[webrtc.PayloadType]string{102: "42e01f", 104: "4d001f", 106: "64001f"} {
		c := video
		c.SDPFmtpLine = strings.Replace(c.SDPFmtpLine, "42e01f", profile, 1)
		c.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"},
			{Type: "ccm", Parameter: "fir"}}
		if err := codecs.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: kind},
			webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.MimeType, err)
		}
	}
	if err := codecs.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: audio, PayloadType: 111},
		webrtc.RTPCodecTypeAudio); err != nil {
		return nil, fmt.Errorf("register %s: %w", audio.MimeType, err)
	}
	chain := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(codecs, chain); err != nil {
		return nil, fmt.Errorf("register interceptors: %w", err)
	}
	conf := webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle,
		ICETransportPolicy: webrtc.ICETransportPolicyRelay}
	settings := webrtc.SettingEngine{LoggerFactory: pionLog{log}}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetPrflxAcceptanceMinWait(0) // browsers that hide their addresses are always peer-reflexive
	if uri, loopback := overUDP(turn.URIs); uri != "" {
		conf.ICEServers = []webrtc.ICEServer{{URLs: []string{uri}, Username: turn.Username, Credential: turn.Password}}
		if loopback {
			conf.ICETransportPolicy = webrtc.ICETransportPolicyAll
			settings.SetIncludeLoopbackCandidate(true)
			settings.SetIPFilter(net.IP.IsLoopback)
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithInterceptorRegistry(chain),
		webrtc.WithSettingEngine(settings))
	return api.NewPeerConnection(conf)
}

// overUDP picks the cheapest URI, and reports whether it is on loopback.
func overUDP(uris []string) (uri string, loopback bool) {
	for _, uri := range uris {
		address, ok := strings.CutPrefix(strings.TrimSuffix(uri, "?transport=udp"), "turn:")
		if !ok || !strings.HasSuffix(uri, "?transport=udp") {
			continue
		}
		host, _, err := net.SplitHostPort(address)
		return uri, err == nil && net.ParseIP(host).IsLoopback()
	}
	return "", false
}

// pionLog logs everything from the WebRTC library as Debug: it is mostly about peers that went away.
type pionLog struct{ log *slog.Logger }

var (
	_ logging.LoggerFactory = pionLog{}
	_ logging.LeveledLogger = pionLog{}
)

func (l pionLog) NewLogger(string) logging.LeveledLogger { return l }

func (l pionLog) say(msg string)                 { l.log.Debug("webrtc", "says", msg) }
func (l pionLog) Trace(string)                   {}
func (l pionLog) Tracef(string, ...any)          {}
func (l pionLog) Debug(string)                   {}
func (l pionLog) Debugf(string, ...any)          {}
func (l pionLog) Info(msg string)                { l.say(msg) }
func (l pionLog) Infof(format string, a ...any)  { l.say(fmt.Sprintf(format, a...)) }
func (l pionLog) Warn(msg string)                { l.say(msg) }
func (l pionLog) Warnf(format string, a ...any)  { l.say(fmt.Sprintf(format, a...)) }
func (l pionLog) Error(msg string)               { l.say(msg) }
func (l pionLog) Errorf(format string, a ...any) { l.say(fmt.Sprintf(format, a...)) }
