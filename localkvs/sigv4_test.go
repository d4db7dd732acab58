package localkvs

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const vectorARN = "arn:aws:kinesisvideo:us-west-2:123456789012:channel/foo/1577836800000"

// vectors are pre-signed URLs with signatures made by others: four by the official JS SDK's tests, one by two other
// signers.
var vectors = []struct {
	name, host, path string
	query            []string
	service, token   string
	signature        string
}{
	{"token", "kvs.awsamazon.com", "/", []string{"X-Amz-TestParam=test-param-value"}, "kinesisvideo",
		"FakeSessionToken",
		"fc268038be276315822b4f73eafd28ee3a5632a2a35fdb0a88db9a42b13d6c92"},
	{"no token", "kvs.awsamazon.com", "/", []string{"X-Amz-TestParam=test-param-value"}, "kinesisvideo", "",
		"be1e78950d956a8a9a1997417099ddbd7455619f3d08c4ad20e1e272179ca695"},
	{"other service", "kvs.awsamazon.com", "/", []string{"X-Amz-TestParam=test-param-value"}, "firehose",
		"FakeSessionToken",
		"f15308513d21a381d38b7607a0439f25fc2e6c9f5ff56a48c1664b486e6234d5"},
	{"path", "kvs.awsamazon.com", "/path/path/path", []string{"X-Amz-TestParam=test-param-value"}, "kinesisvideo",
		"FakeSessionToken",
		"0bf3df6ca23d8d82f688e8dbfb90d69e74843d40038541b1721c545eef7612a4"},
	{"viewer with port", "localhost:8443", "/",
		[]string{"X-Amz-ChannelARN=" + escape(vectorARN), "X-Amz-ClientId=Viewer_1.a-b"},
		"kinesisvideo", "Fake/Session+Token==", "bc097095b6c76536ea77b2d1877729bbaa95b6e8ae1e0e0744e9cfadc416c547"},
}

const vectorKey = "AKIA4F7WJQR7FMMWMNXI"

func vectorTime() time.Time { return time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC) }

// vectorRequest returns the upgrade request of a vector, with its parameters in another order than the signed one.
func vectorRequest(i int) *http.Request {
	v := vectors[i]
	q := []string{
		"X-Amz-Signature=" + v.signature,
		"X-Amz-SignedHeaders=host",
		"X-Amz-Expires=299",
		"X-Amz-Date=20191201T000000Z",
		"X-Amz-Credential=" + escape(vectorKey+"/20191201/us-west-2/"+v.service+"/aws4_request"),
		"X-Amz-Algorithm=AWS4-HMAC-SHA256",
	}
	if v.token != "" {
		q = append(q, "X-Amz-Security-Token="+escape(v.token))
	}
	r := httptest.NewRequest("GET", v.path+"?"+strings.Join(append(q, v.query...), "&"), nil)
	r.Host = v.host
	r.TLS = &tls.ConnectionState{}
	return r
}

func vectorVerifier(now time.Time) *verifier {
	k := keyring{access: vectorKey, secret: "FakeSecretKey", now: func() time.Time { return now }}
	return &verifier{secret: k.lookup, now: k.now}
}

func TestGoldenVectors(t *testing.T) {
	for i, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			sc, err := vectorVerifier(vectorTime()).verify(vectorRequest(i), nil)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if want := (scope{vectorKey, "us-west-2", v.service}); sc != want {
				t.Errorf("scope %+v, want %+v", sc, want)
			}
		})
	}
}

func TestSignatureRefused(t *testing.T) {
	at := vectorTime()
	for _, tt := range []struct {
		name   string
		now    time.Time
		change func(*http.Request)
		want   string // in the error; "" when accepted
	}{
		{"last moment", at.Add(299 * time.Second), nil, ""},
		{"too late", at.Add(300 * time.Second), nil,
			"InvalidSignatureException: Signature expired: 20191201T000000Z is now earlier than 20191201T000001Z " +
				"(20191201T000500Z - 299 sec.)"},
		{"five minutes early", at.Add(-5 * time.Minute), nil, ""},
		{"too early", at.Add(-5*time.Minute - time.Second), nil,
			"InvalidSignatureException: Signature not yet current: 20191201T000000Z is still later than " +
				"20191130T235959Z (20191130T235459Z + 5 min.)"},
		{"other host", at, func(r *http.Request) { r.Host = "kvs.example.com" },
			"InvalidSignatureException: The request signature we calculated"},
		{"default port", at, func(r *http.Request) { r.Host = "kvs.awsamazon.com:443" }, ""},
		{"port not signed", at, func(r *http.Request) { r.Host = "kvs.awsamazon.com:8443" }, ""},
		{"other value", at, func(r *http.Request) { r.URL.RawQuery += "x" },
			"InvalidSignatureException: The request signature"},
		{"further parameter", at, func(r *http.Request) { r.URL.RawQuery += "&a=b" },
			"InvalidSignatureException: The request signature"},
		{"other method", at, func(r *http.Request) { r.Method = "POST" },
			"InvalidSignatureException: The request signature"},
		{"without", at, func(r *http.Request) { r.URL.RawQuery = "" }, "MissingAuthenticationTokenException"},
		{"unknown key", at, func(r *http.Request) {
			r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, vectorKey, "AKIAOTHER")
		}, "UnrecognizedClientException"},
		{"no life", at, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=299", "Expires=0", 1)
		}, "X-Amz-Expires must be"},
		{"day differs", at, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "%2F20191201%2F", "%2F20191202%2F", 1)
		}, "Date in Credential scope"},
		{"host not signed", at, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "SignedHeaders=host", "SignedHeaders=date", 1)
		}, "'Host' must be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := vectorRequest(0)
			if tt.change != nil {
				tt.change(r)
			}
			_, err := vectorVerifier(tt.now).verify(r, nil)
			got := errText(err)
			if tt.want == "" && err != nil || !strings.HasPrefix(got, tt.want) && !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTemporaryKeys(t *testing.T) {
	now := vectorTime()
	k := keyring{access: "a", secret: "s", now: func() time.Time { return now }}
	tmp := k.issue("cam1", now.Add(time.Hour))
	if secret, err := k.lookup(tmp.access, tmp.token); err != nil || secret != tmp.secret {
		t.Errorf("fresh keys: %q, %v; want their secret", secret, err)
	}
	if _, err := k.lookup(tmp.access, tmp.token+"x"); err == nil || err.code != "UnrecognizedClientException" {
		t.Errorf("forged token: %v", err)
	}
	if _, err := k.lookup("ASIAOTHER", tmp.token); err == nil {
		t.Error("another key's token was accepted")
	}
	now = now.Add(time.Hour)
	if _, err := k.lookup(tmp.access, tmp.token); err == nil || err.code != "ExpiredTokenException" {
		t.Errorf("old keys: %v", err)
	}
}
