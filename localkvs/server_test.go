package localkvs_test

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestPage(t *testing.T) {
	s := start(t, localkvs.Options{})
	for path, kind := range map[string]string{
		"/localkvs/": "text/html", "/localkvs/page.js": "text/javascript", "/localkvs/page.css": "text/css",
	} {
		resp, err := httpClient(t, s).Get(s.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) ||
			!strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
	}
}

func TestNew(t *testing.T) {
	s := start(t, localkvs.Options{})
	for _, tt := range []struct {
		name string
		o    localkvs.Options
		want string
	}{
		{"taken", localkvs.Options{Listen: strings.TrimPrefix(s.URL(), "http://")}, "is another localkvs running?"},
		{"no directory", localkvs.Options{Listen: "off", TLSListen: "127.0.0.1:0"}, "set TLSDir"},
		{"nothing", localkvs.Options{Listen: "off"}, "nothing to listen on"},
		{"turn everywhere", localkvs.Options{Listen: "127.0.0.1:0", TURNListen: "0.0.0.0:0"}, "name the address"},
	} {
		if _, err := localkvs.New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if s.TLSURL() != "" || s.CAFile() != "" {
		t.Errorf("TLS is off, but at %q with CA %q", s.TLSURL(), s.CAFile())
	}
	create(t, s, "cam") // to see that it runs
	if err := s.Run(t.Context()); err == nil {
		t.Error("run twice")
	}
}
