package peer

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
)

// denied judges an address a second way: by the words of net/netip, and by unwrapping as often as there is something to unwrap.
func denied(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if a.Is6() {
		b := a.As16()
		var inner []byte
		switch {
		case b[0] == 0x20 && b[1] == 0x02:
			inner = b[2:6]
		case strings.HasPrefix(a.StringExpanded(), "0064:ff9b:0000:0000:0000:0000:"):
			inner = b[12:]
		case strings.HasPrefix(a.StringExpanded(), "0000:0000:0000:0000:ffff:0000:"):
			inner = b[12:]
		case strings.HasPrefix(a.StringExpanded(), "0000:0000:0000:0000:0000:0000:") && !a.IsLoopback() && !a.IsUnspecified():
			inner = b[12:]
		}
		if inner != nil {
			a, _ = netip.AddrFromSlice(inner)
		}
	}
	if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsInterfaceLocalMulticast() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		return b[0] == 0 || b[0] >= 224 || b[0] == 192 && b[1] == 0 && b[2] == 0 || a.String() == "100.100.100.200" || a.String() == "168.63.129.16"
	}
	s := a.StringExpanded()
	return strings.HasPrefix(s, "2001:0000:") || strings.HasPrefix(s, "0064:ff9b:0001:") || strings.HasPrefix(s, "0100:0000:0000:0000:") ||
		s[:2] == "fe" && s[2] >= 'c' || s == "fd00:0ec2:0000:0000:0000:0000:0000:0254"
}

// FuzzCandidate holds the candidate filter against net/netip, and against Pion's reading of the same line: both must see one address.
func FuzzCandidate(f *testing.F) {
	for _, a := range []string{
		"192.0.2.1", "10.1.2.3", "127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1", "100.100.100.200",
		"168.63.129.16", "192.0.0.1", "::", "::1", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "2002:7f00:1::",
		"2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "::127.0.0.1", "2001:0:1::1", "2001:db8::1",
		"fd00:ec2::254", "fec0::1", "fd12::1", "100::1", "0x7f.1", "2130706433", "127.1", "0177.0.0.1", "localhost", "x.local", "",
	} {
		f.Add("candidate:1 1 udp 2130706431 " + a + " 5000 typ host")
	}
	f.Add("candidate:1 1 UDP 1 192.0.2.1 9 typ srflx raddr 127.0.0.1 rport 9 generation 0 ufrag abcd network-cost 10")
	f.Add("candidate: 1 udp 1 192.0.2.1 9 typ host")
	f.Add("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive")
	f.Add("candidate:1  1 udp 1 192.0.2.1 9 typ host")
	f.Fuzz(func(t *testing.T, line string) {
		for _, word := range strings.Fields(line) {
			if a, err := netip.ParseAddr(word); err == nil && mayAnswer(a, false) == denied(a) {
				t.Fatalf("%v: mayAnswer says %v, net/netip says %v", a, mayAnswer(a, false), !denied(a))
			}
		}
		if checkCandidate(line, rule{remotes: All}) != nil {
			return
		}
		c, err := ice.UnmarshalCandidate(strings.TrimPrefix(line, "candidate:"))
		if err != nil {
			return
		}
		a, err := netip.ParseAddr(c.Address())
		if err != nil || denied(a) || c.NetworkType().IsTCP() {
			t.Fatalf("%q was let through; Pion reads %v %s (%v)", line, c.NetworkType(), c.Address(), err)
		}
	})
}

// FuzzOfferToPion gives Pion every offer that we would: whatever a viewer has written, it must not panic, and its answer is in proportion.
func FuzzOfferToPion(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal("no offers in testdata", err)
	}
	f.Add(goodSDP)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(crlf(string(b)))
	}
	network, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		f.Fatal(err)
	}
	e, err := NewEngine(EngineOptions{Net: network})
	if err != nil {
		f.Fatal(err)
	}
	e.settings.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	f.Fuzz(func(t *testing.T, sdp string) {
		if e.CheckOffer(sdp) != nil {
			return
		}
		offered, err := offeredCodecs(sdp)
		if err != nil {
			return
		}
		set, err := newCodecSet()
		if err != nil {
			t.Fatal(err)
		}
		if err := set.addUnused(offered["audio"]); err != nil {
			t.Fatal(err)
		}
		if c, ok := matchCodec(trackWithSPS("\x67\x42\xe0\x1f"), offered["video"]); ok {
			if err := set.add(media.H264, c.fmtp); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.addOthers(offered); err != nil {
			t.Fatal(err)
		}
		pc, err := e.connection(set, nil, webrtc.ICETransportPolicyAll, nil, e.newSockets(func() {}), &inbound{limits: Limits{}.filled(), fail: func(error) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pc.Close() }()
		if _, err := pc.AddTransceiverFromTrack(newOutTrack(media.H264), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: withoutForbidden(sdp, rule{remotes: All})}) != nil {
			return
		}
		settle(pc)
		answer, err := pc.CreateAnswer(nil)
		if err != nil {
			return
		}
		if named := naming(answer.SDP, media.VP8); len(named) > len(answer.SDP)+500 || !strings.HasPrefix(named, "v=0") {
			t.Errorf("a codec more makes\n%s\nof\n%s", named, answer.SDP)
		}
		if out := withMids(answer.SDP, sdp); len(out) > 2*len(sdp)+4000 {
			t.Errorf("an answer of %d bytes to an offer of %d", len(out), len(sdp))
		}
	})
}

// crlf gives a file the line ends of SDP (RFC 8866 section 5).
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// FuzzMediaIn gives the assembler of each codec a stream of packets, each two bytes of length, a mark and what a remote has written.
func FuzzMediaIn(f *testing.F) {
	f.Add(uint8(0), []byte{0, 3, 0, 0x67, 0x42, 0xc0, 0, 2, 0, 0x68, 1, 0, 3, 1, 0x65, 1, 2})
	f.Add(uint8(0), []byte{0, 4, 0, 0x7c, 0x85, 1, 2, 0, 4, 1, 0x7c, 0x45, 1, 2})
	f.Add(uint8(0), []byte{0, 6, 1, 0x78, 0, 3, 0x67, 0x42, 0xc0})
	f.Add(uint8(1), []byte{0, 5, 1, 0x10, 0, 0, 0, 0, 0, 2, 1, 0x10, 1})
	f.Add(uint8(2), []byte{0, 2, 1, 0xfc, 0xff})
	f.Fuzz(func(t *testing.T, which uint8, stream []byte) {
		codec := []media.Codec{media.H264, media.VP8, media.Opus, media.PCMU}[which%4]
		a := newAssembler(codec, codec.ClockRate())
		r := newReceiver(nil, time.Now(), nil)
		r.open(codec)
		header := rtp.Header{Version: 2}
		for len(stream) > 3 {
			n := min(int(stream[0])<<8|int(stream[1]), len(stream)-3)
			header.Marker = stream[2]&1 == 1
			header.SequenceNumber += uint16(stream[2] >> 5)
			if header.Marker {
				header.Timestamp += 3000
			}
			a.push(&rtp.Packet{Header: header, Payload: stream[3 : 3+n]}, 0)
			stream = stream[3+n:]
			header.SequenceNumber++
			for f := a.pop(); f != nil; f = a.pop() {
				if codec.Video() && f.Size() == 0 {
					t.Error("a frame of nothing")
				}
				r.deliver(f, a)
			}
		}
	})
}
