package rtpin_test

import (
	"strings"
	"testing"

	"github.com/pion/rtcp"

	"github.com/kvsagent/kvsagent/media/rtpin"
)

// FuzzSDP parses malformed files: no panic, and the result is at most one video and one audio track, or an error of one
// line.
func FuzzSDP(f *testing.F) {
	head := "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 239.0.0.1/32\nt=0 0\n"
	for _, medias := range []string{
		"m=video 5000 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1; " +
			"sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuDyyA=\n",
		"m=video 5000 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwA8mZgJ; " +
			"sprop-sps=QgEBAWAAAAMA; sprop-pps=RAHBcrRiQA==\n",
		"m=video 5000 RTP/AVP 96\na=rtpmap:96 AV1/90000\nm=audio 5002 RTP/AVP 97\na=rtpmap:97 " +
			"opus/48000/2\na=fmtp:97 sprop-stereo=1\n",
		"m=audio 5002 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/48000/2\na=fmtp:97 " +
			"profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=1190\n",
		"m=audio 5002 RTP/AVP 0\nc=IN IP6 ff02::1\nm=video 65536 RTP/SAVP 96\n",
	} {
		f.Add([]byte(head+medias), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, foreign bool) {
		n, err := rtpin.ParseSDP(text, foreign)
		if n > 2 || (n == 0) != (err != nil) {
			t.Errorf("%d tracks and %v", n, err)
		}
		if err != nil && len(err.Error()) > 100<<10 {
			t.Errorf("an error of %d bytes: %s", len(err.Error()), strings.ToValidUTF8(err.Error()[:200], "?"))
		}
	})
}

// FuzzRTCP parses malformed reports: no panic, and a time only for a sender report of the right SSRC that has a clock.
func FuzzRTCP(f *testing.F) {
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 7, NTPTime: 1 << 63, RTPTime: 1}},
		{&rtcp.SenderReport{SSRC: 7}, &rtcp.Goodbye{Sources: []uint32{7}}},
		{&rtcp.ReceiverReport{SSRC: 7, Reports: []rtcp.ReceptionReport{{SSRC: 8}}}, &rtcp.SourceDescription{}},
	} {
		data, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint32(7))
	}
	f.Fuzz(func(t *testing.T, datagram []byte, ssrc uint32) {
		if at := rtpin.Hear(datagram, ssrc); !at.IsZero() && len(datagram) < 28 { // RFC 3550 section 6.4.1
			t.Errorf("%d bytes told the time %v", len(datagram), at)
		}
	})
}
