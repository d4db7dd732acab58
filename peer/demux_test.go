package peer

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// told is a camera that gives a key frame of 20,000 bytes whenever it is told to.
type told chan struct{}

func (c told) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-c:
			unit := append([]byte{0x65}, bytes.Repeat([]byte{7}, 20_000)...)
			out.Write(&media.Frame{Codec: media.H264, PTS: time.Since(began), Captured: time.Now(), Key: true,
				Data: [][]byte{unit}})
		}
	}
}

// videoSection is what Pion tells a track of one H.264 section without retransmission streams. Nothing may be written
// through it.
type videoSection struct {
	webrtc.TrackLocalContext
	t testing.TB
}

func (n videoSection) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264,
		ClockRate: 90000}, PayloadType: 96}}
}
func (n videoSection) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (n videoSection) SSRC() webrtc.SSRC                                      { return 4711 }
func (n videoSection) WriteStream() webrtc.TrackLocalWriter                   { return n }

func (n videoSection) WriteRTP(*rtp.Header, []byte) (int, error) {
	n.t.Error("a packet went through Pion")
	return 0, nil
}

func (n videoSection) Write([]byte) (int, error) { return 0, nil }

func udp4(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// watched is a sender of one video track that goes straight to a socket, and the broadcast of a camera that it is
// attached to.
type watched struct {
	t      testing.TB
	s      *fanout.Sender
	camera told
	conn   *net.UDPConn // the far end
	direct *wire.Direct
}

func newWatched(t testing.TB) *watched {
	t.Helper()
	w := &watched{t: t, camera: make(told), conn: udp4(t)}
	cipher, err := wire.NewSRTPCipher(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 12))
	if err != nil {
		t.Fatal(err)
	}
	w.direct = &wire.Direct{Cipher: cipher, Out: udpbatch.New(udp4(t)),
		To: w.conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	track := fanout.NewTrack(media.H264)
	if _, err := track.Bind(videoSection{t: t}); err != nil {
		t.Fatal(err)
	}
	hub := media.NewHub(media.HubOptions{Source: w.camera})
	b := fanout.NewBroadcast(hub, nil)
	w.s = fanout.NewSender(b, []*fanout.Track{track}, nil)
	w.s.SetDirect(w.direct)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { hub.Run(ctx); ended <- struct{}{} }()
	leave := b.Join(fanout.Main)
	detach := b.Attach(w.s)
	go func() { _ = w.s.Run(ctx, b.Promote); ended <- struct{}{} }()
	t.Cleanup(func() {
		detach()
		leave()
		cancel()
		<-ended
		<-ended
	})
	return w
}

// read gives the next packet as it is on the wire, and its number.
func (w *watched) read() (seq uint16, raw []byte) {
	w.t.Helper()
	buf := make([]byte, 1500)
	_ = w.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := w.conn.Read(buf)
	if err != nil {
		w.t.Fatal(err)
	}
	return uint16(buf[2])<<8 | uint16(buf[3]), buf[:n]
}

// picture has a key frame sent, and gives its packets and the number of the first.
func (w *watched) picture() (first uint16, packets [][]byte) {
	w.t.Helper()
	select {
	case w.camera <- struct{}{}:
	case <-time.After(5 * time.Second):
		w.t.Fatal("the camera does not run")
	}
	for {
		seq, raw := w.read()
		if packets = append(packets, raw); len(packets) == 1 {
			first = seq
		}
		if raw[1]&0x80 != 0 { // the marker
			return first, packets
		}
	}
}

// TestNACKIsAnsweredThroughTheDemux has a fan-out send again what a remote asks for on the shared socket, as it was,
// while Pion's mux reads that.
func TestNACKIsAnsweredThroughTheDemux(t *testing.T) {
	e, w, remote := loopback(t), newWatched(t), udp4(t)
	key, salt := bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 12)
	theirs, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	open, err := wire.NewSRTCPOpener(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	guard := &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &atomic.Uint64{}}
	in := transport.NewInbound(transport.Limits{}.Filled(), false, guard, guard.Log)
	handled := make(chan struct{}, 10)
	fast := transport.NewRTCPFastPath(open, in, func(compound []byte, again *wire.Arena) {
		if again == nil {
			t.Error("there is no place for what is asked for")
		}
		w.s.OnReports(compound, again)
		if wire.KindOfRTCP(compound) == wire.RTCPNACK {
			handled <- struct{}{}
		}
	})
	e.udp.In.Bind(fast, remote.LocalAddr().(*net.UDPAddr).AddrPort())
	defer e.udp.In.Release(fast)
	send := func(p rtcp.Packet) {
		t.Helper()
		plain, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs.EncryptRTCP(nil, plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.WriteToUDP(b, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.udp.Port()}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(seq uint16, more rtcp.PacketBitmap) {
		t.Helper()
		send(&rtcp.ReceiverReport{SSRC: 5}) // Pion has a report every two seconds: this one, if it is due
		send(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 4711,
			Nacks: []rtcp.NackPair{{PacketID: seq, LostPackets: more}}})
		select {
		case <-handled:
		case <-time.After(5 * time.Second):
			t.Fatal("a NACK does not come as far as the fan-out")
		}
	}
	first, packets := w.picture()
	if len(packets) < 10 {
		t.Fatalf("a picture of 20,000 bytes has %d packets", len(packets))
	}
	again := func(i int) {
		t.Helper()
		if seq, raw := w.read(); seq != first+uint16(i) || !bytes.Equal(raw, packets[i]) {
			t.Errorf("packet %d was sent again, want %d, as it was", seq, first+uint16(i))
		}
	}
	ask(first+2, 1)
	again(2)
	again(3)
	if !w.s.SetDirect(nil) { // the path has moved to a relay: who reads the socket must not wait for it
		t.Fatal("the way cannot be closed")
	}
	ask(first+5, 1)
	w.s.SetDirect(w.direct) // and back
	ask(first+7, 0)
	again(7) // and not 5 before it
	if err := guard.Reason(); err != nil {
		t.Errorf("the remote has done nothing wrong: %v", err)
	}
	if err := e.Err(); err != nil {
		t.Error(err)
	}
}

// FuzzReportsIn gives a fan-out what a remote may report on a stream of which it can ask for packets again.
func FuzzReportsIn(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 4711, TotalLost: 7}}},
		&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 4711,
			Nacks: []rtcp.NackPair{{PacketID: 12, LostPackets: 1}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 5, Bitrate: 1 << 20, SSRCs: []uint32{4711}},
		&rtcp.RawPacket{0x8f, 205, 0, 5, 0, 0, 0, 5, 0, 0, 0x12, 0x67, 0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 0},
		&rtcp.PictureLossIndication{SenderSSRC: 5, MediaSSRC: 4711},
	} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, raw[:len(raw)-1]...))
	}
	w := newWatched(f)
	w.picture()
	f.Fuzz(func(_ *testing.T, plain []byte) {
		if len(plain) < 8 || len(plain) > 1400 {
			return
		}
		wire.EachFeedback(plain, w.s.OnFeedback)
		w.s.OnReports(plain, wire.NewArena(wire.RetransmitBytes))
	})
}
