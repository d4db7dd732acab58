package onvif

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzMatches feeds answers that somebody made up: no panic, and no address but of the host that answered.
func FuzzMatches(f *testing.F) {
	f.Add([]byte(`<E><Body><ProbeMatches><ProbeMatch><EndpointReference><Address>urn:x</Address></EndpointReference><Scopes>onvif://www.onvif.org/name/A%20b</Scopes><XAddrs>http://192.0.2.1/onvif http://192.0.2.7/x</XAddrs></ProbeMatch></ProbeMatches></Body></E>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range matches(data, netip.MustParseAddr("192.0.2.7")) {
			if d.Host != "192.0.2.7" || d.ID == "" || strings.ContainsAny(d.Name+d.Model, "\n\r\x00") {
				t.Errorf("%+v", d)
			}
		}
	})
}

// FuzzChallenge parses login challenges of cameras.
func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="cam, x", nonce="n1", qop="auth,auth-int", algorithm=SHA-256, opaque="o"`)
	f.Add(`Basic realm="x"`)
	f.Fuzz(func(t *testing.T, challenge string) {
		answer, ok := digest(challenge, Login{"admin", "sesame"}, "POST", "/")
		if ok != (answer != "") || strings.Contains(answer, "sesame") && !strings.Contains(challenge, "sesame") ||
			strings.ContainsAny(answer, "\r\n") {
			t.Errorf("%q: %q", challenge, answer)
		}
	})
}
