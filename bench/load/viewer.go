package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// What viewers offer.
const (
	videoKind = 102 // payload types
	rtxKind   = 103
	audioKind = 111
	videoRate = 90000 // Hz
	audioRate = 48000
	videoStep = videoRate / 30 // of the clip that the benchmark plays
	audioStep = audioRate / 50
	twccID    = 1 // of the header extension: Pion counts from 1, and there is no other

	twccURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// Options says how viewers behave. The zero value but for Signaling is a plain one that counts.
type Options struct {
	Signaling Signaling
	Hasty     bool // be content with the first packet; such a viewer is not measured
	Decrypt   bool // to the end, not only until the first key frame
	// Share of packets that are thrown away on arrival, and asked for again (NACK, RFC 4585 section 6.2.1)
	Loss  float64
	RTX   bool          // offer a stream of its own for what is sent again (RFC 4588)
	TWCC  bool          // offer and send transport-wide congestion feedback
	Delay time.Duration // of each packet, each way
	Book  *Book         // who decrypts to the end holds each picture against it; nil is none
	PLI   time.Duration // ask for a key frame so often; 0 is never
	// One that only counts looks at its socket so often, which costs less; 0 is as packets come. The kernel notes when
	// they came.
	Poll time.Duration
}

// Viewer is one WebRTC receiver. Close it.
type Viewer struct {
	o          Options
	pc         *webrtc.PeerConnection
	mux        *ice.UDPMuxDefault
	socket     *socket
	session    Session
	firstFrame time.Duration
	stop       context.CancelFunc
	work       sync.WaitGroup
	came       chan struct{} // closed at the first packet
	keyed      chan struct{} // closed at the first whole key frame

	mu        sync.Mutex // guards the fields below
	streams   map[uint32]*stream
	decrypted map[uint32]*stream // by what came out of SRTP
	refused   uint64             // packets that SRTP did not take
	keys      []keyFrame
	forward   bool // RTP goes on to Pion
	hopeless  bool // packets vanish there
	feedback  feedback
	proof     *proof // nil without a book
	traffic   traffic
	window    *window // while measuring
}

// traffic is what came in all.
type traffic struct{ packets, bytes, again uint64 }

// Join makes a viewer and returns when it has seen its first whole key frame, or its first packet if it is hasty.
func Join(ctx context.Context, id string, o Options) (*Viewer, error) {
	v := &Viewer{
		o: o, forward: true, streams: map[uint32]*stream{}, decrypted: map[uint32]*stream{}, came: make(chan struct{}),
		keyed: make(chan struct{}),
	}
	v.feedback.init(o)
	if o.Book != nil && o.Decrypt {
		v.proof = newProof(o.Book)
	}
	if err := v.open(); err != nil {
		v.Close()
		return nil, fmt.Errorf("viewer %s: %w", id, err)
	}
	if err := v.connect(ctx, id); err != nil {
		v.Close()
		return nil, fmt.Errorf("viewer %s: %w", id, err)
	}
	return v, nil
}

// FirstFrame is how long that took, from the sending of the offer.
func (v *Viewer) FirstFrame() time.Duration { return v.firstFrame }

func (v *Viewer) open() error {
	var err error
	if v.socket, err = listen(v.o.Delay, func(b []byte, at time.Time) bool {
		return v.observe(b, at) &&
			v.keepClose()
	}); err != nil {
		return err
	}
	logs := quiet{srtp: v.onUndecrypted}
	v.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: v.socket, Logger: logs.NewLogger("udpmux")})
	s := webrtc.SettingEngine{LoggerFactory: logs}
	s.SetICEUDPMux(v.mux)
	s.SetIncludeLoopbackCandidate(true)
	s.SetRemoteIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetDTLSInsecureSkipHelloVerify(true) // as browsers: an address that ICE has checked needs no cookie
	s.SetPrflxAcceptanceMinWait(0)         // as browsers: the first pair that works
	s.SetSRTPReplayProtectionWindow(1024)  // as browsers: retransmissions come late
	codecs, err := v.codecs()
	if err != nil {
		return err
	}
	cert, err := certificate()
	if err != nil {
		return err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(codecs),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	v.pc, err = api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{cert}, BundlePolicy: webrtc.BundlePolicyMaxBundle,
		// The headers are what we count by, and browsers do not either.
		RTPHeaderEncryptionPolicy: webrtc.RTPHeaderEncryptionPolicyDisable,
	})
	if err != nil {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := v.pc.AddTransceiverFromKind(kind,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	return nil
}

func (v *Viewer) codecs() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	if v.o.TWCC {
		feedback = append(feedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC})
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: twccURI}, kind); err != nil {
				return nil, err
			}
		}
	}
	err := m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: videoKind,
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: videoRate, RTCPFeedback: feedback,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		}}, webrtc.RTPCodecTypeVideo)
	if v.o.RTX {
		err = errors.Join(err,
			m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: rtxKind,
				RTPCodecCapability: webrtc.RTPCodecCapability{
					MimeType: webrtc.MimeTypeRTX, ClockRate: videoRate, SDPFmtpLine: fmt.Sprintf("apt=%d", videoKind),
				}}, webrtc.RTPCodecTypeVideo))
	}
	return m, errors.Join(err,
		m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: audioKind, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: audioRate, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		}}, webrtc.RTPCodecTypeAudio))
}

// certificate makes the one that all viewers of this process share.
var certificate = sync.OnceValues(func() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, err
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, err
	}
	return *cert, nil
})

// connect negotiates and waits for the first key frame.
func (v *Viewer) connect(ctx context.Context, id string) error {
	var err error
	if v.session, err = v.o.Signaling.Dial(ctx, id); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	v.stop = stop
	v.pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		v.work.Go(func() { v.readReports(r) })
		v.work.Go(func() { v.read(t) })
	})
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered // one candidate, our own socket's: no waiting
	began := time.Now()
	answer, err := v.session.Exchange(ctx, v.pc.LocalDescription().SDP,
		func(c webrtc.ICECandidateInit) { _ = v.pc.AddICECandidate(c) })
	if err != nil {
		return err
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
		SDP: answer}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	v.session.Answered()
	wanted, what := v.keyed, "key frame"
	if v.o.Hasty {
		wanted, what = v.came, "packet"
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("no %s, connection %s, ice %s: %w", what, v.pc.ConnectionState(), v.pc.ICEConnectionState(),
			ctx.Err())
	case <-wanted:
	}
	v.firstFrame = time.Since(began)
	v.work.Go(func() { v.sendFeedback(background) })
	return nil
}

// Close ends the viewer and waits for what it started.
func (v *Viewer) Close() {
	if v.stop != nil {
		v.stop()
	}
	if v.session != nil {
		v.session.Close()
	}
	if v.pc != nil {
		_ = v.pc.GracefulClose()
	}
	if v.mux != nil {
		_ = v.mux.Close()
	}
	v.work.Wait()
}

// observe sees each RTP packet as it comes, still encrypted.
func (v *Viewer) observe(b []byte, at time.Time) (forward bool) {
	h := parseHeader(b)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.o.Loss > 0 && mathrand.Float64() < v.o.Loss && v.hasKey() {
		return false
	}
	if v.traffic.packets++; v.traffic.packets == 1 {
		close(v.came)
	}
	v.traffic.bytes += uint64(len(b))
	v.feedback.record(b, h.ssrc, at)
	if h.kind == rtxKind {
		v.onRetransmission()
		return v.forward
	}
	if s := follow(v.streams, h); s != nil {
		s.arrive(h, at)
	}
	if v.window != nil && h.kind == videoKind {
		v.window.arrivals = append(v.window.arrivals, arrival{at, h.timestamp, h.marker})
	}
	return v.forward
}

// onRetransmission takes a packet of the RTX stream. Which one it repeats is encrypted: who decrypts will see it come
// out of Pion with its number, who does not believes that the oldest request was answered.
func (v *Viewer) onRetransmission() {
	v.traffic.again++
	if v.forward {
		return
	}
	for _, s := range v.streams {
		if s.rate == videoRate {
			s.fillOldest()
		}
	}
}

// Pion's queues are short. When this process does not get its core in time, packets are to wait in the socket, not to
// be dropped there.
const (
	farBehind = 200 // packets
	waitFor   = 5 * time.Second
)

// keepClose waits until decryption has caught up.
func (v *Viewer) keepClose() bool {
	for deadline := time.Now().Add(waitFor); v.behind() > farBehind; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			v.mu.Lock()
			v.hopeless = true
			v.mu.Unlock()
		}
	}
	return true
}

func (v *Viewer) behind() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.hopeless {
		return 0
	}
	return v.undecrypted()
}

// maxStreams bounds the SSRCs of one viewer: two, and some that a server should not have sent.
const maxStreams = 8

// follow finds a packet's stream, or begins it.
func follow(streams map[uint32]*stream, h header) *stream {
	s := streams[h.ssrc]
	if s == nil && len(streams) < maxStreams {
		s = newStream(videoRate, videoStep)
		if h.kind == audioKind {
			s = newStream(audioRate, audioStep)
		}
		streams[h.ssrc] = s
	}
	return s
}

func (v *Viewer) hasKey() bool {
	select {
	case <-v.keyed:
		return true
	default:
		return false
	}
}

// read takes what Pion has decrypted.
func (v *Viewer) read(t *webrtc.TrackRemote) {
	k := newKeyFrames()
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		v.onDecrypted(p, k)
	}
}

func (v *Viewer) onDecrypted(p *rtp.Packet, k *keyFrames) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := header{marker: p.Marker, kind: p.PayloadType, sequence: p.SequenceNumber, timestamp: p.Timestamp, ssrc: p.SSRC}
	if s := follow(v.decrypted, h); s != nil {
		s.arrive(h, time.Now())
	}
	if s := v.streams[h.ssrc]; s != nil && v.o.RTX {
		s.fill(s.extend(h.sequence))
	}
	if p.PayloadType != videoKind {
		return
	}
	if s := v.decrypted[h.ssrc]; s != nil && v.proof != nil {
		v.proof.push(p, s.extend(h.sequence))
	}
	key, ok := k.push(p, time.Now())
	if !ok || len(v.keys) >= maxKeys {
		return
	}
	v.keys = append(v.keys, key)
	if len(v.keys) == 1 {
		v.forward = v.o.Decrypt
		if !v.forward {
			v.socket.poll.Store(int64(v.o.Poll))
		}
		close(v.keyed)
	}
}

// onUndecrypted counts what SRTP refuses. Repeated packets are refused by design (RFC 3711 section 3.3.2).
func (v *Viewer) onUndecrypted(why string) {
	if strings.Contains(why, "duplicated") || strings.Contains(why, "full") {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused++
}

// maxKeys bounds the key frames that one viewer remembers: an hour of them.
const maxKeys = 1800
