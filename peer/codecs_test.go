package peer

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
)

const goodSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 " +
	"0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=rtpmap:96 " +
	"H264/90000\r\na=mid:0\r\n"

func trackWithSPS(sps string) media.Track { return media.Track{Codec: media.H264, SPS: []byte(sps)} }

// TestLimitsAsTold: what the operator says of offers holds in place of the default. Of what comes in, it is transport's
// test.
func TestLimitsAsTold(t *testing.T) {
	e, err := NewEngine(EngineOptions{Limits: transport.Limits{SDP: 9000, MediaSections: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, tt := range []struct{ name, sdp, want string }{
		{"within", goodSDP, ""},
		{"too large", goodSDP + strings.Repeat("a=x\r\n", 2000), "the limit is 9000"},
		{"too many sections", goodSDP + strings.Repeat("m=video 9 X 96\r\n", 2), "3 media sections; the limit is 2"},
	} {
		if err := e.CheckOffer(tt.sdp); (err == nil) != (tt.want == "") || err != nil &&
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: CheckOffer = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// TestOfferTellsTheLevel: the level of what we offer is the stream's own, where it is known.
func TestOfferTellsTheLevel(t *testing.T) {
	for sps, want := range map[string]string{"\x67\x64\x00\x28": "640028", "\x67\x4d\x40\x33": "4d4033", "": "42e01f"} {
		set, err := newCodecSet()
		if err != nil {
			t.Fatal(err)
		}
		if err := set.addTrack(media.Track{Codec: media.H264, SPS: []byte(sps)}); err != nil {
			t.Fatal(err)
		}
		if got := sdp.FmtpValue(set.seen[0], "profile-level-id"); got != want {
			t.Errorf("SPS %x is offered as %s, want %s", sps, got, want)
		}
	}
}
