package redact

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
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
		{"rtsp://admin:it's@192.0.2.1/live", "rtsp://192.0.2.1/live"},
		{"('rtsp://admin:it's@same@192.0.2.1/live')", "('rtsp://192.0.2.1/live')"},
		{`password="open door" x=1`, `password="[hidden]" x=1`},
		{`\"password=\\\"open door\\\" x=1\"`, `\"password=\\\"[hidden]\\\" x=1\"`},
		{"DESCRIBE\\r\\nAuthorization: Basic YWRtaW46c2VzYW1l\\r\\n",
			"DESCRIBE\\r\\nAuthorization: Basic [hidden]\\r\\n"},
		{"authorization: bearer abc.def-123", "authorization: bearer [hidden]"},
		{"http://192.0.2.1/?api_key=sesame&x=1", "http://192.0.2.1/?api_key=[hidden]&x=1"},
		{"a basic question", "a basic question"},
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

// TestKnownInQuotes: what has a quote or a backslash in it is found in quotes, too, and in quotes in quotes, however
// the log writes its lines.
func TestKnownInQuotes(t *testing.T) {
	for i, secret := range []string{`quo"te`, `back\slash`, `"` + "`'<&>\t\x01é\xff" + `\n`, `%2f"\'`} {
		secret = fmt.Sprint(secret, "-secret", i)
		Know(secret)
		var text strings.Builder
		for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
			log := slog.New(h)
			err := error(&url.Error{Op: "open", URL: "x://" + secret, Err: errors.New(secret)})
			log.Info(secret, "plain", secret, "err", err, "wrapped", fmt.Errorf("read %q: %w", err.Error(), err))
			log.Info(fmt.Sprint([]string{secret}), "x", map[string]string{"password": secret})
		}
		_ = json.NewEncoder(&text).Encode(map[string]string{secret: secret})
		fmt.Fprintf(&text, "%q %+q %s\n", secret, secret, url.UserPassword("admin", secret))
		if got := Text(text.String()); strings.Contains(got, "-secret") {
			t.Errorf("%q is shown in %s", secret, got)
		}
	}
}

// TestKnowArguments: a command takes secrets in many ways.
func TestKnowArguments(t *testing.T) {
	KnowArguments("ffmpeg", "-i", "rtsp://admin:it's a hidden1@192.0.2.1/", "--password", "hidden2",
		"--api-key=hidden3", "-u", "admin:hidden4", "user-pw=hidden5",
		"sh", "-c", "curl --user 'me:hidden6' --token hidden7; env X_PWD=hidden8",
		"http://admin:hid/den?9@192.0.2.1/x@y", "rtsp://192.0.2.1:554/plain1@y", "-pass", "1", "-user", "plain2",
		"-headers", "Authorization: Basic YWRtaW46aGlkZGVuMTI=")
	KnowVariable("CAMERA_PASSWORD_FRONT", "hidden10")
	KnowVariable("CAMERA", "rtsp://192.0.2.1/?token=hidden11")
	KnowVariable("LANG", "plain3")
	for _, word := range []string{"it's a hidden1", "hidden2", "hidden3", "hidden4", "hidden5", "hidden6", "hidden7",
		"hidden8",
		"hid/den?9", "hidden10", "hidden11", "hidden12", "YWRtaW46aGlkZGVuMTI=", "plain1", "plain2", "plain3"} {
		want := "it says " + Blank + "."
		if strings.HasPrefix(word, "plain") {
			want = "it says " + word + "."
		}
		if got := Text("it says " + word + "."); got != want {
			t.Errorf("%q is shown as %q", word, got)
		}
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
