package transport

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// demuxed is a shared socket with a reader in the place of Pion's mux, and a remote whose reports take the fast path.
type demuxed struct {
	t      *testing.T
	demux  *UDPDemux
	remote *net.UDPConn
	keys   *srtp.Context
	fast   *RTCPFastPath
	took   []rtcp.Packet
	fcis   [][]byte
}

func newDemuxed(t *testing.T) *demuxed {
	t.Helper()
	i := &demuxed{t: t, demux: NewUDPDemux(socket(t)), remote: socket(t)}
	key, salt := bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 12)
	i.keys = remoteSRTCP(t, key, salt)
	open, err := wire.NewSRTCPOpener(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	in := &Inbound{limits: Limits{}.Filled(), fail: func(err error) { t.Error(err) }}
	in.Watch(func(fci []byte) { i.fcis = append(i.fcis, bytes.Clone(fci)) })
	i.fast = &RTCPFastPath{open: open, in: in, on: func(compound []byte, _ *wire.Arena) {
		packets, err := rtcp.Unmarshal(compound)
		if err != nil {
			t.Error(err)
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.SourceDescription, *rtcp.TransportLayerCC: // nobody reads the one, and the other is in fcis
			default:
				i.took = append(i.took, p)
			}
		}
	}}
	i.fast.gone = time.Now().Add(time.Hour) // none for Pion's sake
	i.demux.Bind(i.fast, addrOf(i.remote))
	return i
}

func socket(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// remoteSRTCP encrypts RTCP as the remote does, with code that is not ours.
func remoteSRTCP(t testing.TB, key, salt []byte) *srtp.Context {
	t.Helper()
	c, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// sealed is a compound packet as the remote encrypts it.
func (i *demuxed) sealed(packets ...rtcp.Packet) []byte {
	i.t.Helper()
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		i.t.Fatal(err)
	}
	b, err := i.keys.EncryptRTCP(nil, plain, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

func (i *demuxed) send(from *net.UDPConn, b []byte) {
	i.t.Helper()
	if _, err := from.WriteToUDPAddrPort(b, addrOf(i.demux.UDPConn)); err != nil {
		i.t.Fatal(err)
	}
}

// next is what comes as far as the mux, which must be what was sent from there.
func (i *demuxed) next(want []byte, sender *net.UDPConn) {
	i.t.Helper()
	_ = i.demux.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 2000)
	n, from, err := i.demux.ReadFromAddrPort(buf)
	if err != nil {
		i.t.Fatal(err)
	}
	if from != addrOf(sender) || !bytes.Equal(buf[:n], want) {
		i.t.Fatalf("%d bytes from %v came through, want %d from %v", n, from, len(want), addrOf(sender))
	}
}

// last is sent behind what must not come through: it comes through itself.
var last = []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}

var (
	aReport = &rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 4711, TotalLost: 7}}}
	aNACK   = &rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 4711,
		Nacks: []rtcp.NackPair{{PacketID: 12, LostPackets: 1}}}
	aREMB = &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 5, Bitrate: 1 << 20, SSRCs: []uint32{4711}}
	aTWCC = &rtcp.RawPacket{0x8f, 205, 0, 5, 0, 0, 0, 5, 0, 0, 0x12, 0x67, 0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 0}
	aPLI  = &rtcp.PictureLossIndication{SenderSSRC: 5, MediaSSRC: 4711}
)

func TestReportsAreTakenFromTheSocket(t *testing.T) {
	i := newDemuxed(t)
	names := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 5,
		Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}}
	first := i.sealed(aReport, names, aNACK, aTWCC)
	i.send(i.remote, first)
	i.send(i.remote, i.sealed(aREMB))
	i.send(i.remote, first) // once more: it has been dealt with
	i.send(i.remote, last)
	i.next(last, i.remote)
	if len(i.took) != 3 || len(i.fcis) != 1 {
		t.Fatalf("taken: %v and %d times feedback", i.took, len(i.fcis))
	}
	if r, ok := i.took[0].(*rtcp.ReceiverReport); !ok || len(r.Reports) != 1 || r.Reports[0].TotalLost != 7 {
		t.Errorf("the report is %v", i.took[0])
	}
	if n, ok := i.took[1].(*rtcp.TransportLayerNack); !ok || !slices.Equal(n.Nacks, aNACK.Nacks) {
		t.Errorf("the NACK is %v", i.took[1])
	}
	if e, ok := i.took[2].(*rtcp.ReceiverEstimatedMaximumBitrate); !ok || e.Bitrate != 1<<20 {
		t.Errorf("the estimate is %v", i.took[2])
	}
	if !bytes.Equal(i.fcis[0], (*aTWCC)[12:]) {
		t.Errorf("the feedback is %x", i.fcis[0])
	}
	if i.fast.in.heard.IsZero() {
		t.Error("the remote counts as one that has never reported")
	}
}

func TestAllElseComesThrough(t *testing.T) {
	i := newDemuxed(t)
	other := socket(t)
	tampered := i.sealed(aReport)
	tampered[10] ^= 1
	for _, tt := range []struct {
		name string
		b    []byte
		from *net.UDPConn
	}{
		{"a report from elsewhere", i.sealed(aReport), other},
		{"a request for a key frame", i.sealed(aPLI), i.remote},
		{"a request for one behind a report", i.sealed(aReport, aPLI), i.remote},
		{"a sender report", i.sealed(&rtcp.SenderReport{SSRC: 5}), i.remote},
		{"a goodbye", i.sealed(&rtcp.Goodbye{Sources: []uint32{5}}), i.remote},
		{"a report that was changed on the way", tampered, i.remote},
		{"RTCP without encryption", []byte{0x80, 201, 0, 1, 0, 0, 0, 5}, i.remote},
		{"STUN", last, i.remote},
		{"DTLS", []byte{22, 254, 253, 0, 0}, i.remote},
		{"RTP", append([]byte{0x80, 96}, make([]byte, 40)...), i.remote},
		{"two bytes", []byte{0x80, 200}, i.remote},
		{"nothing", nil, i.remote},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i.t = t
			i.send(tt.from, tt.b)
			i.next(tt.b, tt.from)
		})
	}
	if len(i.took) > 0 || len(i.fcis) > 0 {
		t.Errorf("taken all the same: %v", i.took)
	}
}

// TestPionHearsNowAndThen has a report go on to Pion from time to time: it counts a path as alive on which something
// comes.
func TestPionHearsNowAndThen(t *testing.T) {
	i := newDemuxed(t)
	i.fast.gone = time.Now().Add(-passEvery - time.Millisecond)
	first, second := i.sealed(aReport), i.sealed(aReport)
	i.send(i.remote, first)
	i.next(first, i.remote)
	i.fast.gone = i.fast.gone.Add(time.Hour)
	i.send(i.remote, second)
	i.send(i.remote, last)
	i.next(last, i.remote)
	if len(i.took) != 1 {
		t.Errorf("%d reports were taken, want 1", len(i.took))
	}
}

// TestFastPathFollowsTheRoute moves it to another address, and ends it.
func TestFastPathFollowsTheRoute(t *testing.T) {
	i := newDemuxed(t)
	other := socket(t)
	// As a socket for both families would say.
	i.demux.Bind(i.fast, netip.AddrPortFrom(netip.AddrFrom16(addrOf(other).Addr().As16()), addrOf(other).Port()))
	before := i.sealed(aReport)
	i.send(i.remote, before)
	i.next(before, i.remote)
	i.send(other, i.sealed(aReport))
	i.send(other, last)
	i.next(last, other)
	if len(i.took) != 1 {
		t.Errorf("%d reports were taken, want 1", len(i.took))
	}
	another := *i.fast
	i.demux.Bind(&another, addrOf(other))
	i.demux.Release(i.fast) // which has lost the address to another already
	if i.demux.remote(addrOf(other)) != &another {
		t.Error("who ends takes another's address with it")
	}
	i.demux.Release(&another)
	i.demux.Bind(&another, addrOf(other)) // too late
	if len(i.demux.remotes) > 0 {
		t.Error("there are fast paths when all have ended")
	}
}

// resender answers NACKs as a fan-out does: with packets in the arena, for who reads the socket to flush.
type resender struct {
	t    *testing.T
	way  *wire.Direct // nil: the path has moved to a relay
	conn *net.UDPConn // the far end of the way
	asks int
}

func newResender(t *testing.T) *resender {
	conn := socket(t)
	return &resender{t: t, conn: conn, way: &wire.Direct{Out: udpbatch.New(socket(t)), To: addrOf(conn)}}
}

func (r *resender) on(compound []byte, again *wire.Arena) {
	packets, err := rtcp.Unmarshal(compound)
	if err != nil {
		r.t.Error(err)
	}
	for _, p := range packets {
		n, ok := p.(*rtcp.TransportLayerNack)
		if !ok {
			continue
		}
		r.asks++
		for _, pair := range n.Nacks {
			for _, seq := range pair.PacketList() {
				if r.way != nil {
					again.Commit(r.way, append(again.Slot(wire.MaxPayload), r.packet(seq)...))
				}
			}
		}
	}
}

func (r *resender) packet(seq uint16) []byte {
	return append([]byte{0x80, 96, byte(seq >> 8), byte(seq)}, bytes.Repeat([]byte{byte(seq)}, 1000)...)
}

// TestNACKIsAnsweredFromTheSocket has what was asked for leave when all that was read has been dealt with. The fan-out
// itself answers in TestNACKIsAnsweredThroughTheDemux, package peer.
func TestNACKIsAnsweredFromTheSocket(t *testing.T) {
	i := newDemuxed(t)
	r := newResender(t)
	i.fast.on = r.on
	i.send(i.remote, i.sealed(aNACK))
	i.send(i.remote, last)
	i.next(last, i.remote)
	_ = i.demux.SetReadDeadline(time.Now()) // there is nothing more to read
	if n, _, err := i.demux.ReadFromAddrPort(make([]byte, 2000)); err == nil {
		t.Fatalf("%d bytes came through", n)
	}
	buf := make([]byte, 1500)
	for _, want := range []uint16{12, 13} {
		_ = r.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := r.conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf[:n], r.packet(want)) {
			t.Errorf("packet %d of %d bytes was sent again, want %d", uint16(buf[2])<<8|uint16(buf[3]), n, want)
		}
	}
	r.way = nil // the path has moved to a relay: who reads the socket must not wait for it
	i.send(i.remote, i.sealed(aNACK))
	i.send(i.remote, last)
	i.next(last, i.remote)
	if r.asks != 2 {
		t.Errorf("%d NACKs were handed on, want 2", r.asks)
	}
}

// FuzzReports has what a remote may send, encrypted as it should be, taken or passed on. What a fan-out makes of it is
// FuzzReportsIn's, package peer.
func FuzzReports(f *testing.F) {
	for _, p := range []rtcp.Packet{aReport, aNACK, aREMB, aTWCC, aPLI} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, raw[:len(raw)-1]...))
	}
	key, salt := make([]byte, 16), make([]byte, 12)
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) < 8 || len(plain) > 1400 { // a header and an SSRC
			return
		}
		theirs := remoteSRTCP(t, key, salt)
		open, err := wire.NewSRTCPOpener(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		packet, err := theirs.EncryptRTCP(nil, plain, nil)
		if err != nil {
			return
		}
		var got [][]byte
		in := &Inbound{limits: Limits{}.Filled(), fail: func(error) {}}
		in.Watch(func(fci []byte) {
			if len(fci) < 4 || !bytes.Contains(plain, fci) {
				t.Errorf("feedback of %x, which is no part of what was sent", fci)
			}
		})
		on := func(compound []byte, again *wire.Arena) {
			if again == nil {
				t.Error("there is no place for what is asked for")
			}
			got = append(got, bytes.Clone(compound))
		}
		fast := &RTCPFastPath{open: open, in: in, on: on, gone: time.Now().Add(time.Hour)}
		before := bytes.Clone(packet)
		taken := fast.take(packet, wire.NewArena(wire.RetransmitBytes))
		if !bytes.Equal(packet, before) {
			t.Fatal("the packet was changed, and Pion may need it")
		}
		if taken != (onlyReports(plain) || crowded(plain)) {
			t.Errorf("taken: %v", taken)
		}
		if handed := taken && !crowded(plain); handed != (len(got) == 1) || handed && !bytes.Equal(got[0], plain) {
			t.Errorf("taken: %v, handed on: %x", taken, got)
		}
		if !taken {
			return
		}
		if !fast.take(packet, wire.NewArena(wire.RetransmitBytes)) {
			t.Error("the same packet once more goes to Pion")
		}
		if len(got) > 1 {
			t.Error("the same packet once more is handed on")
		}
	})
}
