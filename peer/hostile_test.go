package peer_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
)

// hostile is a viewer that connects like any other, and then does what it likes.
type hostile struct {
	pc        *webrtc.PeerConnection
	writer    *anyWriter
	connected chan struct{}
}

// anyWriter is a local track that writes whatever header it is given.
type anyWriter struct {
	*webrtc.TrackLocalStaticRTP
	mu sync.Mutex // guards w
	w  webrtc.TrackLocalWriter
}

func (a *anyWriter) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	a.mu.Lock()
	a.w = c.WriteStream()
	a.mu.Unlock()
	return a.TrackLocalStaticRTP.Bind(c)
}

func (a *anyWriter) write(ssrc uint32, seq uint16, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = a.w.WriteRTP(&rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq}, make([]byte, size))
}

// connectHostile connects a hostile viewer to a master, whose end comes in the channel. settings may say where its
// network is. In a bubble it has to be bare, without reports and data channels: Pion closes SCTP under a lock that
// stops a bubble's time.
func connectHostile(t *testing.T, e *peer.Engine, b *fanout.Broadcast, settings webrtc.SettingEngine,
	bare bool) (*hostile, *peer.Conn, <-chan error) {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}}, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	if !bare {
		if err := webrtc.ConfigureRTCPReports(registry); err != nil {
			t.Fatal(err)
		}
	}
	settings.LoggerFactory = quiet
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	h := &hostile{pc: pc, connected: make(chan struct{})}
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264,
		ClockRate: 90000}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	h.writer = &anyWriter{TrackLocalStaticRTP: static}
	if _, err := pc.AddTransceiverFromTrack(h.writer); err != nil {
		t.Fatal(err)
	}
	if !bare {
		if _, err := pc.CreateDataChannel("kvsDataChannel", nil); err != nil {
			t.Fatal(err)
		}
	}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(h.connected)
		}
	})
	var master *peer.Conn
	answered := make(chan struct{})
	master, err = peer.New(peer.Config{Engine: e, Broadcast: b, Send: func(s peer.Signal) {
		switch s := s.(type) {
		case peer.Answer:
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
				SDP: s.SDP}); err != nil {
				t.Error(err)
			}
			close(answered)
		case peer.Candidate:
			<-answered
			_ = pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: s.Candidate})
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			master.Handle(peer.Candidate{Candidate: c.ToJSON().Candidate})
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	// To offer trickle is to get the answer at once.
	master.Handle(peer.Offer{SDP: strings.Replace(offer.SDP, "t=0 0\r\n", "t=0 0\r\na=ice-options:trickle\r\n", 1)})
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { done <- master.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-h.connected
	return h, master, done
}

func (h *hostile) open(t *testing.T, label string) *webrtc.DataChannel {
	t.Helper()
	d, err := h.pc.CreateDataChannel(label, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	d.OnOpen(func() { close(open) })
	<-open
	return d
}

// TestAttacksEndTheConnection: what a viewer can do over an established connection ends that connection, and no other.
func TestAttacksEndTheConnection(t *testing.T) {
	e, b := engine(t), pattern(t)
	got := newCollector()
	_, v, _ := pair(t, peer.Config{Engine: e, Broadcast: b},
		peer.Config{Engine: engine(t), Receive: true, Sink: got, Offer: true}, same, same)
	got.wait(t, media.H264, 5)
	for _, tt := range []struct {
		name   string
		attack func(*testing.T, *hostile)
		want   string
	}{
		{"requests for key frames", func(_ *testing.T, h *hostile) {
			ssrc := uint32(h.pc.GetReceivers()[0].Track().SSRC())
			for range 5000 {
				_ = h.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
			}
		}, "asked for key frames more than 500 times"},
		{"requests for key frames, many in a packet", func(_ *testing.T, h *hostile) {
			ssrc := uint32(h.pc.GetReceivers()[0].Track().SSRC())
			packets := []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1}}
			for range 90 {
				packets = append(packets, &rtcp.PictureLossIndication{MediaSSRC: ssrc})
			}
			for range 6 {
				_ = h.pc.WriteRTCP(packets)
			}
		}, "asked for key frames more than 500 times"},
		{"reports", func(_ *testing.T, h *hostile) {
			ssrc := uint32(h.pc.GetReceivers()[0].Track().SSRC())
			for range 5000 {
				_ = h.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: ssrc,
					Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}}})
			}
		}, "more than 4000 rtcp packets"},
		{"rtcp for many streams", func(_ *testing.T, h *hostile) {
			for i := range uint32(500) {
				_ = h.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 7000 + i}})
			}
		}, "rtcp about more than"},
		{"many data channels", func(_ *testing.T, h *hostile) {
			for i := range 100 {
				_, _ = h.pc.CreateDataChannel(fmt.Sprint(i), nil)
			}
		}, "data channels"},
		{"a long name", func(_ *testing.T, h *hostile) {
			_,
				_ = h.pc.CreateDataChannel(strings.Repeat("x", 5000), nil)
		}, "a name of more than"},
		{"a large message", func(t *testing.T, h *hostile) { _ = h.open(t, "d").Send(make([]byte, 60_000)) },
			"message of 60000 bytes"},
		{"many messages", func(t *testing.T, h *hostile) {
			d := h.open(t, "d")
			for range 2000 {
				_ = d.SendText("hello")
			}
		}, "messages or"},
		{"many bytes in few messages", func(t *testing.T, h *hostile) {
			d := h.open(t, "d")
			for range 80 {
				_ = d.Send(make([]byte, 10_000))
			}
		}, "bytes a second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s webrtc.SettingEngine
			s.SetIncludeLoopbackCandidate(true)
			h, _, done := connectHostile(t, e, b, s, false)
			before := got.count(media.H264)
			tt.attack(t, h)
			select {
			case err := <-done:
				if err == nil || !strings.Contains(strings.ToLower(err.Error()), tt.want) {
					t.Errorf("the connection ended with %v, want %q", err, tt.want)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the connection goes on")
			}
			got.wait(t, media.H264, before+5)
		})
	}
	if r := v.Report(); r.State != peer.Connected || r.Receiving[0].Lost != 0 {
		t.Errorf("the honest viewer: %+v", r)
	}
}

// TestAViewerThatHasFallenSilent answers ICE and reports no more. One that has never reported is left alone: not every
// client does.
func TestAViewerThatHasFallenSilent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoke bool
	}{{"after it spoke", true}, {"from the beginning", false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m, v := w.site(nat{}), w.site(nat{})
				w.start()
				var s webrtc.SettingEngine
				s.SetNet(v.line)
				s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled) // which would be a real socket
				h, _, done := connectHostile(t, m.engine,
					broadcast(t, &ticker{every: 100 * time.Millisecond, gop: 10}, nil), s, true)
				if tt.spoke {
					_ = h.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{
						{SSRC: uint32(h.pc.GetReceivers()[0].Track().SSRC())},
					}}})
				}
				select {
				case err := <-done:
					if !tt.spoke || err == nil || !strings.Contains(err.Error(), "fallen silent") {
						t.Errorf("the connection ended with %v", err)
					}
				case <-time.After(50 * time.Second):
					if tt.spoke {
						t.Error("the connection goes on")
					}
				}
			})
		})
	}
}

// TestNobodyAimsUs: candidates for addresses that a viewer may not send us to get no packet, whether they come alone or
// in the offer. One for an honest address does, or the test would see nothing.
func TestNobodyAimsUs(t *testing.T) {
	const honest = "198.51.100.7"
	targets := []string{
		honest, "169.254.169.254", "100.100.100.200", "168.63.129.16", "240.0.0.1", "0.0.0.5", "192.0.0.9",
		"::ffff:169.254.169.254",
		"64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
	}
	line := func(i int, ip string) string {
		return fmt.Sprintf("candidate:%d 1 udp %d %s 4000 typ host", i+1, 2130706431-i, ip)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		var mu sync.Mutex
		sent := map[string]int{}
		w.wan.AddChunkFilter(func(c vnet.Chunk) bool {
			to, ok := c.DestinationAddr().(*net.UDPAddr)
			mu.Lock()
			defer mu.Unlock()
			if ok && to.Port == 4000 {
				sent[to.IP.String()]++
			}
			return true
		})
		w.start()
		// The viewer answers no check for a second, so that all get theirs.
		c := begin(t, m, v, callOptions{toViewer: inOrder(time.Second),
			toMaster: func(s peer.Signal, deliver func(peer.Signal)) {
				o, ok := s.(peer.Offer)
				if !ok {
					deliver(s)
					return
				}
				var inside string
				for i, ip := range targets {
					inside += "a=" + line(i, ip) + "\r\n"
				}
				deliver(peer.Offer{SDP: strings.Replace(o.SDP, "a=ice-ufrag:", inside+"a=ice-ufrag:", 1)})
				for i, ip := range targets {
					deliver(peer.Candidate{Candidate: line(i+20, ip)})
				}
			}})
		c.plays(10)
		mu.Lock()
		defer mu.Unlock()
		if len(sent) != 1 || sent[honest] == 0 {
			t.Errorf("packets went to %v, want %s alone", sent, honest)
		}
	})
}
