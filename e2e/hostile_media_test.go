package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

func ssrcFlood(t *testing.T, s *siege) {
	c := s.join(t, "ssrcs", rig.CallerOptions{})
	for i := range uint32(100_000) {
		c.Writer.Write(1000+i, 1, 10)
	}
}

func unaskedMedia(t *testing.T, s *siege) {
	c := s.join(t, "media", rig.CallerOptions{})
	for i := range 5000 {
		c.Writer.Write(1000, uint16(i), 1000)
	}
}

func pliFlood(t *testing.T, s *siege) {
	c := s.join(t, "plis", rig.CallerOptions{})
	for range 100_000 {
		if c.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: c.SSRC()}}) != nil {
			return
		}
	}
}

// everything asks for all that may be in the agent's history.
func everything(ssrc uint32) []rtcp.Packet {
	n := &rtcp.TransportLayerNack{MediaSSRC: ssrc}
	for i := range 250 {
		n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: uint16(17 * i), LostPackets: 0xffff})
	}
	return []rtcp.Packet{n}
}

func nackFlood(t *testing.T, s *siege) {
	c := s.join(t, "nacks", rig.CallerOptions{})
	for range 20_000 {
		if c.PC.WriteRTCP(everything(c.SSRC())) != nil {
			return
		}
	}
}

// greedyNACKs asks again for all that comes, no faster than one may, and gets little more than who asks for nothing.
func greedyNACKs(t *testing.T, s *siege) {
	var high sync.Map
	c := s.join(t, "greedy", rig.CallerOptions{OnTrack: func(track *webrtc.TrackRemote) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if track.Kind() == webrtc.RTPCodecTypeVideo {
				high.Store("seq", p.SequenceNumber)
			}
		}
	}})
	time.Sleep(time.Second) // the window that a newcomer gets
	mine, theirs := c.Received(), s.honest[0].Received()
	for range 320 {
		newest, ok := high.Load("seq")
		if !ok {
			t.Fatal("nothing came")
		}
		n := &rtcp.TransportLayerNack{MediaSSRC: c.SSRC()}
		for back := range uint16(20) {
			n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: newest.(uint16) - 17*back, LostPackets: 0xffff})
		}
		_ = c.PC.WriteRTCP([]rtcp.Packet{n})
		time.Sleep(12500 * time.Microsecond)
	}
	mine, theirs = c.Received()-mine, s.honest[0].Received()-theirs
	t.Logf("who asks for everything again got %d bytes, another one %d", mine, theirs)
	if mine > theirs*5/4+64<<10 {
		t.Errorf("%d bytes for one who asks for everything again, %d for another: want a quarter more, and a little "+
			"at once", mine, theirs)
	}
}

func rtcpGarbage(t *testing.T, s *siege) {
	c := s.join(t, "garbage", rig.CallerOptions{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 240 {
		b := make([]byte, 4*(2+r.IntN(100)))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0], b[1] = 0x80|b[0]&0x1f, byte(200+r.IntN(8)) // or it would not be taken for RTCP
		b[2], b[3] = 0, byte(len(b)/4-1)
		copy(b[4:], []byte{byte(c.SSRC() >> 24), byte(c.SSRC() >> 16), byte(c.SSRC() >> 8), byte(c.SSRC())})
		raw := rtcp.RawPacket(b)
		_ = c.PC.WriteRTCP([]rtcp.Packet{&raw})
		time.Sleep(10 * time.Millisecond)
	}
}

func channelFlood(t *testing.T, s *siege) {
	c := s.join(t, "channels", rig.CallerOptions{Channel: true})
	for i := range 20_000 {
		if _, err := c.PC.CreateDataChannel(fmt.Sprint(i), nil); err != nil {
			return
		}
	}
}

func messageFlood(t *testing.T, s *siege) {
	c := s.join(t, "messages", rig.CallerOptions{Channel: true})
	d, err := c.PC.CreateDataChannel("more", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	d.OnOpen(func() { close(open) })
	select {
	case <-open:
	case <-time.After(10 * time.Second):
		t.Fatal("no data channel")
	}
	for range 100_000 {
		if d.Send(make([]byte, 1000)) != nil {
			return
		}
	}
}

// deaf is a socket that stops being read.
type deaf struct {
	net.PacketConn
	from chan struct{}
}

func (d deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := d.PacketConn.ReadFrom(p)
	select {
	case <-d.from:
		select {} // until the process ends
	default:
		return n, a, err
	}
}

// deafViewer connects and reads no more, until the siege is over.
func deafViewer(t *testing.T, s *siege) {
	for i := range 4 {
		conn, err := net.ListenPacket("udp4", rig.Home+":0")
		if err != nil {
			t.Fatal(err)
		}
		d := deaf{conn, make(chan struct{})}
		var o rig.CallerOptions
		o.Settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, d))
		s.join(t, fmt.Sprintf("deaf-%d", i), o)
		close(d.from)
	}
}

// offPathJunk is what the internet sends to an open port, thirty thousand packets a second of it.
func offPathJunk(t *testing.T, s *siege) {
	conn, err := net.DialUDP("udp4", nil, s.to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wrong, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("abcd:efgh"),
		stun.NewShortTermIntegrity("wrong"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	hello := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, 1, 0, 0, 68}, make([]byte, 80)...)
	media := append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 18, 103}, make([]byte, 500)...)
	noise := make([]byte, 300)
	r := rand.New(rand.NewPCG(3, 4))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		<-tick.C
		for i := range 300 {
			b := [][]byte{wrong.Raw, hello, media, noise}[i%4]
			if i%4 == 3 {
				noise[0], noise[1], noise[2] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
			}
			_, _ = conn.Write(b)
		}
	}
}
