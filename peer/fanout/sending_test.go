package fanout

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/srtp/v3"
)

// viewer is the far end of a direct way: a socket and a decryption that is not ours.
type viewer struct {
	conn *net.UDPConn
	srtp *srtp.Context
	s    *Sender
}

// nowhere is the writer of a track whose packets must not come that way.
type nowhere struct{ t *testing.T }

func (n nowhere) WriteRTP(*rtp.Header, []byte) (int, error) {
	n.t.Error("a packet went through Pion")
	return 0, nil
}

func (n nowhere) Write([]byte) (int, error) { return 0, nil }

func socket(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newViewer(t *testing.T, out *udpbatch.Sender, first uint64) *viewer {
	t.Helper()
	key, salt := make([]byte, 16), make([]byte, 12)
	_, _ = rand.Read(key)
	_, _ = rand.Read(salt)
	cipher, err := wire.NewSRTPCipher(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{conn: socket(t)}
	if v.srtp, err = srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt, track.next = nowhere{t}, 4711, 96, first
	v.s = NewSender(nil, []*Track{track}, nil)
	v.s.SetDirect(&wire.Direct{Cipher: cipher, Out: out, To: v.conn.LocalAddr().(*net.UDPAddr).AddrPort()})
	return v
}

// sendKey sends the viewer a key frame, straight.
func (v *viewer) sendKey(t *testing.T) *packets {
	t.Helper()
	p, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: true,
		Data: [][]byte{append([]byte{0x65}, bytes.Repeat([]byte{7}, 20_000)...)}})
	if err != nil {
		t.Fatal(err)
	}
	a := v.s.ownArena()
	if err := v.s.send(whole(p), a); err != nil {
		t.Fatal(err)
	}
	a.Flush()
	return p
}

// read gives the next packet, decrypted.
func (v *viewer) read(t *testing.T) *rtp.Packet {
	t.Helper()
	buf := make([]byte, 1500)
	_ = v.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := v.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := v.srtp.DecryptRTP(nil, buf[:n], nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes frames into a broadcast, a key frame first and then each tenth.
func write(b *Broadcast, from, n int) {
	for i := from; i < from+n; i++ {
		size := 4000
		if i%10 == 0 {
			size = 60_000
		}
		unit := bytes.Repeat([]byte{byte(i)}, size)
		unit[0] = 0x65
		b.streams[Main].Write(&media.Frame{Codec: media.H264, PTS: time.Duration(i) * 40 * time.Millisecond,
			Captured: time.Now(), Key: i%10 == 0, Data: [][]byte{unit}})
	}
}

// TestDirectWay sends to several viewers at once, over a roll-over of the sequence number, and has each packet
// decrypted and each number accounted for. A viewer that comes in the middle begins at the key frame and joins the
// others without a gap.
func TestDirectWay(t *testing.T) {
	out := udpbatch.New(socket(t))
	b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	var viewers []*viewer
	for i := range 3 {
		viewers = append(viewers, newViewer(t, out, 65_500-uint64(i*50)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var detach []func()
	join := func(v *viewer) {
		detach = append(detach, b.Attach(v.s))
		running.Go(func() { _ = v.s.Run(ctx, b.Promote) })
	}
	for _, v := range viewers[:2] {
		join(v)
	}
	check := func(v *viewer, first, n int) {
		t.Helper()
		var last uint16
		for i := first; i < first+n; i++ {
			for marker, packets := false, 0; !marker; packets++ {
				p := v.read(t)
				if (i > first || packets > 0) && p.SequenceNumber != last+1 {
					t.Fatalf("frame %d: sequence number %d follows %d", i, p.SequenceNumber, last)
				}
				if want := v.s.tracks[media.H264].base + uint32(i*3600); p.Timestamp != want {
					t.Fatalf("frame %d: timestamp %d, want %d", i, p.Timestamp, want)
				}
				if p.Payload[len(p.Payload)-1] != byte(i) {
					t.Fatalf("frame %d: a payload of frame %d", i, p.Payload[len(p.Payload)-1])
				}
				last, marker = p.SequenceNumber, p.Marker
			}
		}
	}
	write(b, 0, 15)
	check(viewers[0], 0, 15)
	check(viewers[1], 0, 15)
	join(viewers[2])
	check(viewers[2], 10, 5)
	for i := 15; i < 60; i++ {
		write(b, i, 1)
		for _, v := range viewers {
			check(v, i, 1)
		}
	}
	for _, v := range viewers {
		if !v.s.inShard() {
			t.Error("a viewer that is up to live is in no shard")
		}
		if d := v.s.dropped[media.H264].total(); d != 0 {
			t.Errorf("%d frames dropped", d)
		}
	}
	cancel()
	running.Wait()
	for _, d := range detach {
		d()
	}
	for _, h := range b.shards {
		h.wait()
	}
}

func TestNACKIsAnsweredWithTheSamePacket(t *testing.T) {
	v := newViewer(t, udpbatch.New(socket(t)), 65_530)
	p := v.sendKey(t)
	raw := map[uint16][]byte{}
	buf := make([]byte, 1500)
	for range p.payloads {
		n, err := v.conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		raw[uint16(buf[2])<<8|uint16(buf[3])] = bytes.Clone(buf[:n])
	}
	v.s.onRTCP(&rtcp.TransportLayerNack{MediaSSRC: 4711,
		Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{65_531, 2, 5, 40_000})}, nil)
	for _, seq := range []uint16{65_531, 2, 5} {
		_ = v.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := v.conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf[:n], raw[seq]) {
			t.Errorf("what was sent again for %d is not what was sent before", seq)
		}
	}
	for range 100 { // a remote that asks for everything gets no more than its share
		v.s.onRTCP(&rtcp.TransportLayerNack{MediaSSRC: 4711,
			Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{65_531, 65_532, 65_533, 0, 1, 2})}, nil)
	}
	if again, sent := int(v.s.resent)*wire.MaxPayload, p.bytes; again > sent/rtxShare+rtxBudgetFirst+wire.MaxPayload {
		t.Errorf("%d bytes were sent again after %d, want at most a quarter", again, sent)
	}
}

func TestNACKIsAnsweredInAStreamOfItsOwn(t *testing.T) {
	v := newViewer(t, udpbatch.New(socket(t)), 65_530)
	track := v.s.tracks[media.H264]
	track.rtxSSRC, track.rtxPT = 815, 97
	p := v.sendKey(t)
	first := map[uint16]*rtp.Packet{}
	for range p.payloads {
		pkt := v.read(t)
		first[pkt.SequenceNumber] = pkt
	}
	v.s.onRTCP(&rtcp.TransportLayerNack{MediaSSRC: 4711, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{65_531, 2})},
		nil)
	for i, seq := range []uint16{65_531, 2} {
		got, want := v.read(t), first[seq]
		if got.SSRC != 815 || got.PayloadType != 97 || got.SequenceNumber != uint16(i) ||
			got.Timestamp != want.Timestamp || got.Marker != want.Marker {
			t.Errorf("retransmission %d has the header %+v", i, got.Header)
		}
		if osn := uint16(got.Payload[0])<<8 | uint16(got.Payload[1]); osn != seq ||
			!bytes.Equal(got.Payload[2:], want.Payload) {
			t.Errorf("retransmission %d is of %d, want %d and its payload", i, osn, seq)
		}
	}
}

func TestSenderReportsTieBothClocks(t *testing.T) {
	video := NewTrack(media.H264)
	video.w, video.base = nowhere{t}, 1000
	if video.report(time.Now(), time.Time{}) != nil {
		t.Error("a report before anything was sent")
	}
	at := time.Date(2026, 11, 25, 1, 2, 3, 500_000_000, time.UTC)
	video.begin(whole(&packets{frame: &media.Frame{PTS: 2 * time.Second, Captured: at}, payloads: make([]payload, 3),
		bytes: 3000}))
	_, zero := video.zero()
	r := video.report(at.Add(100*time.Millisecond), zero)
	if want := uint32(1000 + 2*90_000 + 9000); r.RTPTime != want {
		t.Errorf("RTP time %d, want %d", r.RTPTime, want)
	}
	if r.PacketCount != 3 || r.OctetCount != 3000 {
		t.Errorf("counts %d, %d, want 3, 3000", r.PacketCount, r.OctetCount)
	}
	if got, want := r.NTPTime>>32, uint64(at.Unix()+2_208_988_800); got != want {
		t.Errorf("NTP seconds %d, want %d", got, want)
	}
	if frac := float64(r.NTPTime&0xffffffff) / (1 << 32); frac < 0.599 || frac > 0.601 {
		t.Errorf("NTP fraction %f, want 0.6", frac)
	}
}

// BenchmarkFanOut is what one frame of 17 KB costs for 50 viewers, encryption and system calls and all.
func BenchmarkFanOut(b *testing.B) {
	conn, sink := socket(b), socket(b)
	out := udpbatch.New(conn)
	var viewers []*Sender
	for range 50 {
		cipher, err := wire.NewSRTPCipher(make([]byte, 16), make([]byte, 12))
		if err != nil {
			b.Fatal(err)
		}
		track := NewTrack(media.H264)
		track.w = discard{}
		s := NewSender(nil, []*Track{track}, nil)
		s.SetDirect(&wire.Direct{Cipher: cipher, Out: out, To: sink.LocalAddr().(*net.UDPAddr).AddrPort()})
		s.joinShard(0)
		viewers = append(viewers, s)
	}
	h := newShard()
	a := wire.NewArena(wire.ArenaBytes)
	p := frameOf(true, 17_000)
	b.ReportAllocs()
	for b.Loop() {
		p.number++
		h.send(p, viewers, a)
	}
	if got := viewers[49].meters[media.H264].KeyFrames; got != uint64(b.N) {
		b.Fatalf("%d frames were sent, want %d", got, b.N)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*50*len(p.payloads)), "ns/packet")
}

// BenchmarkFanOutPlain is what the same costs with Pion's SRTP and a system call for each packet, without its
// interceptors.
func BenchmarkFanOutPlain(b *testing.B) {
	conn, sink := socket(b), socket(b)
	var viewers []*srtp.Context
	for range 50 {
		c, err := srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm)
		if err != nil {
			b.Fatal(err)
		}
		viewers = append(viewers, c)
	}
	cuts := rtp.NewPacketizer(wire.MaxPayload+wire.RTPHeaderLen, 96, 1, &codecs.H264Payloader{},
		rtp.NewFixedSequencer(1), 90_000)
	picture := append([]byte{0, 0, 0, 1, 0x65}, make([]byte, 17_000)...)
	buf, packets := make([]byte, 1500), 0
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range cuts.Packetize(picture, 3000) {
			for _, c := range viewers {
				plain, err := p.Marshal() // as each PeerConnection does: payload type and SSRC are its own
				if err != nil {
					b.Fatal(err)
				}
				sealed, err := c.EncryptRTP(buf, plain, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := conn.WriteToUDPAddrPort(sealed, sink.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
					b.Fatal(err)
				}
				packets++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}

// BenchmarkAnswerNACK is what it costs to send ten packets of a frame again, in a stream of their own.
func BenchmarkAnswerNACK(b *testing.B) {
	cipher, err := wire.NewSRTPCipher(make([]byte, 16), make([]byte, 12))
	if err != nil {
		b.Fatal(err)
	}
	conn := socket(b)
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt, track.next, track.rtxSSRC, track.rtxPT = discard{}, 4711, 96, 100, 815, 97
	s := NewSender(nil, []*Track{track}, nil)
	s.SetDirect(&wire.Direct{Cipher: cipher, Out: udpbatch.New(conn), To: conn.LocalAddr().(*net.UDPAddr).AddrPort()})
	a := s.ownArena()
	for range historyFrames { // the packets that are asked for lie half a history back
		if err := s.send(whole(frameOf(false, 17_000)), a); err != nil {
			b.Fatal(err)
		}
		a.Flush()
	}
	from := uint16(track.history.back(historyFrames / 2).first)
	nack := nackFor(b, 4711, rtcp.NackPair{PacketID: from, LostPackets: 1<<9 - 1})
	track.history.asks = new([asksKept]ask)
	b.ReportAllocs()
	for b.Loop() {
		// As if it were asked for the first time.
		track.rtxBudget, track.nackBudget, *track.history.asks = rtxBudgetMost, nackBudgetMost, [asksKept]ask{}
		s.OnReports(nack, nil)
	}
	if want := uint64(b.N * 10); s.resent != want {
		b.Fatalf("%d packets were sent again, want %d", s.resent, want)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10), "ns/packet")
}

type discard struct{}

func (discard) WriteRTP(*rtp.Header, []byte) (int, error) { return 0, nil }
func (discard) Write([]byte) (int, error)                 { return 0, nil }
