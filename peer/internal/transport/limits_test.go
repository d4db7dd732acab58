package transport

import (
	"strings"
	"testing"

	"github.com/pion/transport/v5/packetio"
)

const goodSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 " +
	"0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=rtpmap:96 " +
	"H264/90000\r\na=mid:0\r\n"

func TestCheckSDP(t *testing.T) {
	for _, tt := range []struct{ name, sdp, want string }{
		{"good", goodSDP, ""},
		{"bare line feeds", strings.ReplaceAll(goodSDP, "\r\n", "\n"), ""},
		{"not an sdp", `{"hello":1}`, "not an sdp"},
		{"empty", "", "not an sdp"},
		{"too large", goodSDP + strings.Repeat("a=x\r\n", 10_000), "bytes; the limit is 32768"},
		{"too many lines", goodSDP + strings.Repeat("a=x\r\n", 1000), "lines; the limit is 1000"},
		{"a long line", goodSDP + "a=" + strings.Repeat("x", 3000) + "\r\n", "line 12 has 3002 bytes"},
		{"too many sections", goodSDP + strings.Repeat("m=video 9 X 96\r\n", 8), "9 media sections"},
		{"no section", strings.ReplaceAll(goodSDP, "m=", "x="), "without a media section"},
		{"no ufrag", strings.ReplaceAll(goodSDP, "ice-ufrag", "ufrag"), "without ice-ufrag"},
		{"no fingerprint", strings.ReplaceAll(goodSDP, "a=fingerprint", "a=print"), "without a dtls fingerprint"},
		{"short ufrag", strings.ReplaceAll(goodSDP, "ufrag:abcd", "ufrag:a"), "ice-ufrag has 1 characters"},
		{"long ufrag", strings.ReplaceAll(goodSDP, "ufrag:abcd", "ufrag:"+strings.Repeat("a", 500)),
			"ice-ufrag has 500 characters"},
		{"odd password", strings.ReplaceAll(goodSDP, "abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrst uvwx"),
			"ice-pwd has the character ' '"},
	} {
		err := Limits{}.Filled().CheckSDP(tt.sdp)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: CheckSDP = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// TestLimitsAsTold: what the operator says of what comes in holds in place of the default. Of offers, it is the test of
// package peer.
func TestLimitsAsTold(t *testing.T) {
	var failed error
	in := &Inbound{limits: Limits{Streams: 1, KeyRequests: 2}.Filled(), Receive: true,
		fail: func(err error) { failed = err }}
	// PLIs, RFC 4585 section 6.3.1.
	in.report([]byte(strings.Repeat("\x81\xce\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02", 20)))
	if failed != nil {
		t.Errorf("20 requests in ten seconds: %v", failed)
	}
	in.report([]byte("\x84\xce\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02"))
	if failed == nil || !strings.Contains(failed.Error(), "more than 20 times") {
		t.Errorf("21 requests: %v", failed)
	}
	failed = nil
	in.Buffer(packetio.RTPBufferPacket, 1)
	if in.Buffer(packetio.RTPBufferPacket, 2); failed == nil ||
		!strings.Contains(failed.Error(), "more than 1 streams (SSRCs) of media at a time") {
		t.Errorf("two streams: %v", failed)
	}
}

// TestStreamsOneAfterTheOther: a session of many days has many streams, a few at a time. Pion keeps a little of each,
// and so there is an end to them all the same.
func TestStreamsOneAfterTheOther(t *testing.T) {
	var failed error
	in := &Inbound{limits: Limits{Streams: 2}.Filled(), Receive: true, fail: func(err error) { failed = err }}
	stays := in.Buffer(packetio.RTPBufferPacket, 0)
	for i := range uint32(2*streamsEver - 1) {
		b := in.Buffer(packetio.RTPBufferPacket, 1+i)
		if failed != nil {
			t.Fatalf("stream %d: %v", 1+i, failed)
		}
		for range 2 { // Pion may close it twice
			_ = b.Close()
		}
	}
	in.Buffer(packetio.RTPBufferPacket, 99)
	if failed == nil || !strings.Contains(failed.Error(), "more than 32 streams") ||
		!strings.Contains(failed.Error(), "one after the other") {
		t.Errorf("one too many: %v", failed)
	}
	if _, err := stays.Write([]byte{1}); err != nil {
		t.Errorf("a stream that is open: %v", err)
	}
}
