package redact

import (
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"rtsp://admin:sesame@192.0.2.1/live", "rtsp://192.0.2.1/live"},
		{"dial rtsp://admin:s@same@192.0.2.1/live: refused", "dial rtsp://192.0.2.1/live: refused"},
		{"rtsp://192.0.2.1/live?user=admin&password=sesame&x=1",
			"rtsp://192.0.2.1/live?user=admin&password=[hidden]&x=1"},
		{"rtsp://192.0.2.1/user=admin_password=sesame_channel=1",
			"rtsp://192.0.2.1/user=admin_password=[hidden]_channel=1"},
		{"rtsp://192.0.2.1/user=admin_password=se_same_stream=0.sdp?real",
			"rtsp://192.0.2.1/user=admin_password=[hidden]_stream=0.sdp?real"},
		{"rtsp://192.0.2.1/?password=a_b;c,d/e&x=1", "rtsp://192.0.2.1/?password=[hidden]&x=1"},
		{"http://192.0.2.1/?loginpas=1&pwd=sesame#top", "http://192.0.2.1/?loginpas=1&pwd=[hidden]#top"},
		{"token%3Dsesame", "token%3D[hidden]"},
		{"rtsp://192.0.2.1/?password=sesame: refused", "rtsp://192.0.2.1/?password=[hidden]: refused"},
		{"no secret: a=b, compass=north", "no secret: a=b, compass=[hidden]"},
		{"mail to anna@example.org", "mail to anna@example.org"},
	} {
		if got := Text(tt.text); got != tt.want {
			t.Errorf("%s\nis shown as %s\nwant        %s", tt.text, got, tt.want)
		}
	}
}

func TestKnow(t *testing.T) {
	KnowURL("exec:ffmpeg -i rtsp://admin:open%20door@192.0.2.1/ -metadata password=garden-gate -f mpegts -")
	Know("pin", "")
	for _, text := range []string{"open%20door", "open door", "open+door", "it is garden-gate, isn't it"} {
		got := Text(text)
		if !strings.Contains(got, Blank) || strings.Contains(got, "door") || strings.Contains(got, "gate") {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	if got := Text("spinning"); got != "spinning" {
		t.Errorf("a short secret blanks %q", got)
	}
}

// FuzzText plants a secret where a URL can hold one, and looks for it in what is shown.
func FuzzText(f *testing.F) {
	f.Add("sesame", uint8(0))
	f.Add("p@ss:w/rd", uint8(2))
	f.Fuzz(func(t *testing.T, secret string, place uint8) {
		if len(secret) < shortest || strings.ContainsAny(secret, "\"'#?&;,/_:.)") || strings.Contains(Blank, secret) ||
			strings.ContainsFunc(secret, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
			return
		}
		places := []string{"rtsp://admin:%@192.0.2.1/", "rtsp://192.0.2.1/?password=%", "rtsp://192.0.2.1/a?pwd=%&b=c",
			"rtsp://192.0.2.1/user=admin_password=%_channel=1"}
		raw := strings.Replace(places[int(place)%len(places)], "%", secret, 1)
		if strings.Count(raw, secret) != 1 {
			return
		}
		if got := Text("cannot open " + raw + ": refused"); strings.Contains(got, secret) {
			t.Errorf("%q is shown as %q", raw, got)
		}
	})
}
