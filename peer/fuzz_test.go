package peer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
)

// FuzzOfferToPion gives Pion every offer that we would: whatever a viewer has written, it must not panic, and its answer is in proportion.
func FuzzOfferToPion(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal("no offers in testdata", err)
	}
	f.Add(transport.goodSDP)
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
	f.Fuzz(func(t *testing.T, text string) {
		if e.CheckOffer(text) != nil {
			return
		}
		offered, err := offeredCodecs(text)
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
		if c, ok := matchCodec(transport.trackWithSPS("\x67\x42\xe0\x1f"), offered["video"]); ok {
			if err := set.add(media.H264, c.Fmtp); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.addOthers(offered); err != nil {
			t.Fatal(err)
		}
		cert, err := e.certs.get()
		if err != nil {
			t.Fatal(err)
		}
		pc, err := e.connection(set, cert, nil, webrtc.ICETransportPolicyAll, nil, e.newSockets(nil, func() {}), &transport.Inbound{limits: transport.Limits{}.Filled(), fail: func(error) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pc.Close() }()
		if _, err := pc.AddTransceiverFromTrack(fanout.NewTrack(media.H264), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: withoutForbidden(text, sdp.Rule{Remotes: sdp.All})}) != nil {
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
		if out := withMids(answer.SDP, text); len(out) > 2*len(text)+4000 {
			t.Errorf("an answer of %d bytes to an offer of %d", len(out), len(text))
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
		a := receive.newAssembler(codec, codec.ClockRate())
		r := receive.NewReceiver(nil, time.Now(), nil)
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
