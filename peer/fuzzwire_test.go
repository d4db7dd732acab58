package peer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// wire is a connection between a master and a remote that sends whatever it is told.
type wire struct {
	engine *peer.Engine
	cast   *fanout.Broadcast

	pc      *webrtc.PeerConnection
	writer  *anyWriter
	channel *webrtc.DataChannel
	over    chan struct{} // closed with the master's end
	stop    func()
}

// open connects, unless there is a connection.
func (w *wire) open() error {
	select {
	case <-w.over:
		w.stop()
	default:
		if w.over != nil {
			return nil
		}
	}
	m := &webrtc.MediaEngine{}
	for _, c := range []webrtc.RTPCodecParameters{
		{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"},
				{Type: "transport-cc"}},
		}},
		{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000,
			SDPFmtpLine: "apt=96"}},
	} {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.LoggerFactory = quiet
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
		webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264,
		ClockRate: 90000}, "v", "s")
	if err != nil {
		return err
	}
	w.pc, w.writer, w.over = pc, &anyWriter{TrackLocalStaticRTP: static}, make(chan struct{})
	if _, err := pc.AddTransceiverFromTrack(w.writer); err != nil {
		return err
	}
	if w.channel, err = pc.CreateDataChannel("d", nil); err != nil {
		return err
	}
	opened := make(chan struct{})
	w.channel.OnOpen(func() { close(opened) })
	answers := make(chan string, 1)
	master, err := peer.New(peer.Config{Engine: w.engine, Broadcast: w.cast, Receive: true, Send: func(s peer.Signal) {
		if a, ok := s.(peer.Answer); ok {
			answers <- a.SDP
		}
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	over := w.over
	running.Go(func() { _ = master.Run(ctx); close(over) })
	w.stop = func() { _ = pc.GracefulClose(); cancel(); running.Wait() }
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	master.Handle(peer.Offer{SDP: pc.LocalDescription().SDP}) // without trickle, so that the answer has all candidates
	timeout := time.After(20 * time.Second)
	select {
	case sdp := <-answers:
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
			return err
		}
	case <-timeout:
		return errors.New("no answer")
	}
	select {
	case <-opened:
		return nil
	case <-timeout:
		return errors.New("not connected")
	}
}

// send sends one packet of a kind: RTP with any header, RTCP, or a message.
func (w *wire) send(kind byte, b []byte) {
	switch kind % 3 {
	case 0:
		var h rtp.Header
		n, err := h.Unmarshal(b)
		if err != nil {
			return
		}
		h.Version, h.SSRC = 2, 1000+h.SSRC%6
		w.writer.mu.Lock()
		defer w.writer.mu.Unlock()
		_, _ = w.writer.w.WriteRTP(&h, b[n:])
	case 1:
		if len(b) < 8 {
			return
		}
		b = b[:len(b)&^3]
		b[0], b[1], b[2], b[3] = b[0]&0x3f|0x80, 200+b[1]%8, 0, byte(len(b)/4-1)
		raw := rtcp.RawPacket(b)
		_ = w.pc.WriteRTCP([]rtcp.Packet{&raw})
	case 2:
		_ = w.channel.Send(b)
	}
}

// FuzzWire lets a remote send over a connection what it likes, each packet as a byte of kind, one of length, and what
// is in it. All of Pion is in between, and none of it may panic.
func FuzzWire(f *testing.F) {
	packet := func(kind byte, b []byte) []byte { return append([]byte{kind, byte(len(b))}, b...) }
	for _, h := range []rtp.Header{
		{PayloadType: 96, Marker: true}, {PayloadType: 97, SSRC: 1, Padding: true, PaddingSize: 3},
		{PayloadType: 96, SSRC: 2, CSRC: []uint32{1, 2}},
		{PayloadType: 96, SSRC: 3, Extension: true, ExtensionProfile: 0xbede, Extensions: nil},
		{PayloadType: 111, SSRC: 4, Extension: true, ExtensionProfile: 0x1000},
	} {
		h.Version = 2
		b, err := h.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet(0, append(b, 0x65, 1, 2, 3)))
	}
	for _, p := range []rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: 1},
		&rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 9}}},
		&rtcp.Goodbye{Sources: []uint32{1000}},
		&rtcp.SenderReport{SSRC: 1000}, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6},
	} {
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet(1, b))
	}
	f.Add(packet(2, []byte("hello")))
	const plenty = 1 << 20
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true,
		Limits: peer.Limits{Streams: 50, RTCP: plenty, KeyRequests: plenty, Messages: plenty,
			MessageBytes: plenty << 4}})
	if err != nil {
		f.Fatal(err)
	}
	w := &wire{engine: e, cast: pattern(f)}
	f.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		_ = e.Close()
	})
	f.Fuzz(func(t *testing.T, packets []byte) {
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		for len(packets) > 2 {
			n := min(int(packets[1]), len(packets)-2)
			w.send(packets[0], append([]byte(nil), packets[2:2+n]...))
			packets = packets[2+n:]
		}
	})
}
