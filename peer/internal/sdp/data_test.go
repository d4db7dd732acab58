package sdp

import (
	"strings"
	"testing"
)

// TestWithoutData: the rest is a description as if there had been no data channels, and the sections come back,
// rejected, where they were.
func TestWithoutData(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	const audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
	const video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
	data := func(mid string) string {
		return "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:" + mid + "\r\na=sctp-port:5000\r\n"
	}
	rejected := func(mid string) string {
		return "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n" +
			"a=mid:" + mid + "\r\n"
	}
	for _, tt := range []struct{ group, sections, wantGroup, wantRest, wantOurs string }{
		{"BUNDLE 0 1 2", audio + video + data("2"), "BUNDLE 0 1", audio + video, audio + video + rejected("2")},
		{"BUNDLE d 0 1", data("d") + audio + video, "BUNDLE 0 1", audio + video, rejected("d") + audio + video},
		{"BUNDLE 0 d 1", audio + data("d") + video, "BUNDLE 0 1", audio + video, audio + rejected("d") + video},
		{"BUNDLE 0 BUNDLE e 1", audio + data("BUNDLE") + data("e") + video, "BUNDLE 0 1", audio + video,
			audio + rejected("BUNDLE") + rejected("e") + video},
		{"BUNDLE 0 1", audio + video, "BUNDLE 0 1", audio + video, audio + video},
	} {
		text := head + "a=group:" + tt.group + "\r\n" + tt.sections
		d, err := Parse(text, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		rest, left := d.WithoutData(text)
		if want := head + "a=group:" + tt.wantGroup + "\r\n" + tt.wantRest; rest != want {
			t.Errorf("%s: the rest is\n%s\nwant\n%s", tt.group, rest, want)
		}
		if got := WithRejected(head+tt.wantRest, left); got != head+tt.wantOurs {
			t.Errorf("%s: ours is\n%s\nwant\n%s", tt.group, got, head+tt.wantOurs)
		}
		lax := strings.ReplaceAll(text, "\r\n", "\n")
		if d, err = Parse(lax, Limits{}); err != nil {
			t.Fatal(err)
		}
		if lax, _ = d.WithoutData(lax); lax != strings.ReplaceAll(rest, "\r\n", "\n") {
			t.Errorf("%s: without carriage returns the rest is\n%s", tt.group, lax)
		}
	}
}
