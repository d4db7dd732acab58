package localkvs_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestNamedEndpoints(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous(), NamedEndpoints: true})
	arn := create(t, s, "cam")
	endpoint := func(role string) string {
		_, text := post(t, s, "/getSignalingChannelEndpoint", `{"ChannelARN":"`+arn+
			`","SingleMasterChannelEndpointConfiguration":{"Protocols":["WSS"],"Role":"`+role+`"}}`, time.Now())
		var out struct {
			ResourceEndpointList []struct{ ResourceEndpoint string }
		}
		if err := json.Unmarshal([]byte(text), &out); err != nil || len(out.ResourceEndpointList) != 1 {
			t.Fatal(text)
		}
		return out.ResourceEndpointList[0].ResourceEndpoint
	}
	m, v := endpoint("MASTER"), endpoint("VIEWER")
	port := s.URL()[strings.LastIndex(s.URL(), ":"):]
	if !strings.HasPrefix(m, "ws://m-") || !strings.HasPrefix(v, "ws://v-") ||
		!strings.HasSuffix(m, ".localhost"+port) {
		t.Fatalf("endpoints %s and %s", m, v)
	}
	for _, tt := range []struct{ endpoint, id, want string }{
		{m, "", "101"}, {m, "anything", "101"}, {v, "viewer", "101"}, {v, "MASTER", "101"}, {v, "", "400"},
	} {
		// The name resolves in browsers; here the request is sent to the address with that name as its host.
		u, err := url.Parse(signed(t, tt.endpoint, arn, tt.id, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/?"+u.RawQuery, nil)
		r.Host = u.Host
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
		resp, err := httpClient(t, s).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !strings.HasPrefix(resp.Status, tt.want) {
			t.Errorf("%s as %q: %s, want %s", tt.endpoint, tt.id, resp.Status, tt.want)
		}
	}
}

// TestEndpointFollowsCaller: endpoints have the host and port that the caller used, and no port if it used none.
func TestEndpointFollowsCaller(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	for _, host := range []string{"kvs.example", "kvs.example:8443", "[::1]:9790", "localhost"} {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/getSignalingChannelEndpoint", nil)
		body := `{"ChannelARN":"` + arn + `"}`
		r.Body, r.ContentLength, r.Host = io.NopCloser(strings.NewReader(body)), int64(len(body)), host
		cred, _ := keys().Retrieve(t.Context())
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, sha(body), "kinesisvideo", region,
			time.Now()); err != nil {
			t.Fatal(err)
		}
		resp, err := httpClient(t, s).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := `{"ResourceEndpointList":[{"Protocol":"WSS","ResourceEndpoint":"ws://` + host +
			`"},{"Protocol":"HTTPS","ResourceEndpoint":"http://` + host + `"}]}`
		if string(text) != want {
			t.Errorf("to %s: %s, want %s", host, text, want)
		}
	}
}
