package sdp

import (
	"strings"
	"testing"
)

func TestRefusalSaysWhyAndNoMore(t *testing.T) {
	offer := goodSDP + "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n"
	refusal := mustParse(t, offer).Refusal("10 viewers\r\na=evil")
	want := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=10 viewersa=evil\r\nt=0 0\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:0\r\na=rtpmap:96 H264/90000\r\n" +
		"m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n"
	if refusal != want {
		t.Errorf("Refusal =\n%s\nwant\n%s", refusal, want)
	}
	const groups = "t=0 0\r\na=group:LS 0 1\r\na=group:BUNDLE 0 1\r\n"
	grouped := mustParse(t, strings.Replace(offer, "t=0 0\r\n", groups, 1)).Refusal("x")
	if !strings.Contains(grouped, "\r\nt=0 0\r\na=group:BUNDLE\r\nm=video 0") {
		t.Errorf("the refusal of an offer with a group has none:\n%s", grouped)
	}
	if reason, refused := mustParse(t, refusal).Refused(); !refused || reason != "10 viewersa=evil" {
		t.Errorf("Refused = %q, %v", reason, refused)
	}
	if _, refused := mustParse(t, goodSDP).Refused(); refused {
		t.Error("a good answer was taken for a refusal")
	}
	channel := "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
	if _, refused := mustParse(t, refusal+channel).Refused(); !refused {
		t.Error("a refusal that leaves the data channel was taken for an answer")
	}
}

// TestDataAlone: a section that is in the bundle alone has port 0, and does not stand without the others.
func TestDataAlone(t *testing.T) {
	const channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
	rejected := strings.Replace(channel, " 9 ", " 0 ", 1)
	for text, want := range map[string]bool{
		goodSDP: false, goodSDP + channel: true, goodSDP + rejected: false,
		goodSDP + rejected + "a=bundle-only\r\n":             false,
		strings.ReplaceAll(goodSDP+channel, "\r\n", "\n"):    true,
		"v=0\r\n" + strings.Replace(channel, "m=", "m= ", 1): true,
	} {
		if got := mustParse(t, text).DataAlone(); got != want {
			t.Errorf("%v, want %v:\n%s", got, want, text)
		}
	}
}

// TestCarrierIsTurnedDown: libwebrtc drops its connection with the first section of the bundle, others keep it.
func TestCarrierIsTurnedDown(t *testing.T) {
	bundle := func(semantic, mids string) string {
		lines := "t=0 0\r\na=group:BUNDLE " + mids + "\r\na=msid-semantic:" + semantic + "\r\n"
		return strings.Replace(goodSDP, "t=0 0\r\n", lines, 1) + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"
	}
	for semantic, same := range map[string]bool{" WMS": false, " WMS stream": false, "WMS *": true, " WMS *": true} {
		before := mustParse(t, bundle(semantic, "0 1")).Identity()
		stopped := strings.Replace(bundle(semantic, "1"), "m=video 9", "m=video 0", 1)
		if after := mustParse(t, stopped).Identity(); before.Same(after) != same {
			t.Errorf("%q: same %v, want %v", semantic, !same, same)
		}
		other := strings.Replace(bundle(semantic, "0"), "m=audio 9", "m=audio 0", 1)
		if after := mustParse(t, other).Identity(); !before.Same(after) {
			t.Errorf("%q: another section is turned down, and it is another connection", semantic)
		}
	}
}

func TestIdentity(t *testing.T) {
	first := mustParse(t, goodSDP).Identity()
	for _, tt := range []struct {
		name      string
		text      string
		same, ice bool
	}{
		{"itself", goodSDP, true, true},
		{"other letters", strings.Replace(goodSDP, "sha-256 AB:CD", "SHA-256 ab:cd", 1), true, true},
		{"a restart of ICE", strings.Replace(strings.Replace(goodSDP, "o=- 1 1 ", "o=- 1 2 ", 1), "ufrag:abcd",
			"ufrag:efgh", 1), true, false},
		{"other credentials, same version", strings.Replace(goodSDP, "ufrag:abcd", "ufrag:efgh", 1), false, false},
		{"a session id of its own", strings.Replace(goodSDP, "o=- 1 1", "o=- 2 1", 1), true, true},
		{"both", strings.Replace(strings.Replace(goodSDP, "o=- 1 1", "o=- 2 1", 1), "ufrag:abcd", "ufrag:efgh", 1),
			false, false},
		{"another device", strings.Replace(goodSDP, "AB:CD", "AB:CE", 1), false, true},
	} {
		id := mustParse(t, tt.text).Identity()
		if first.Same(id) != tt.same || first.SameICE(id) != tt.ice {
			t.Errorf("%s: same %v, same ICE %v", tt.name, first.Same(id), first.SameICE(id))
		}
	}
}

func TestWithMids(t *testing.T) {
	ours := "v=0\r\nm=video 9 X 96\r\na=mid:0\r\nm=audio 0 X 0\r\nm=application 0 X y\r\n"
	want := "v=0\r\nm=video 9 X 96\r\na=mid:0\r\nm=audio 0 X 0\r\na=mid:1\r\nm=application 0 X y\r\n"
	if got := WithMids(ours, []string{"a", "1", ""}); got != want {
		t.Errorf("WithMids =\n%s\nwant\n%s", got, want)
	}
}
