package localkvs_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestAlexa(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master := dial(t, s, arn, "")
	answer := make(chan string, 1)
	go func() {
		_, text := post(t, s, "/v1/send-alexa-offer-to-master",
			`{"ChannelARN":"`+arn+`","SenderClientId":"echo","MessagePayload":"`+offerPayload+`"}`, time.Now())
		answer <- text
	}()
	master.wants("echo", "SDP_OFFER", offerPayload)
	master.send(message("SDP_ANSWER", "echo", answerPayload, ""))
	if got, want := <-answer, `{"Answer":"`+answerPayload+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The next answer is for a viewer of that name again.
	master.send(message("SDP_ANSWER", "echo", "bmV4dA==", ""))
	dial(t, s, arn, "echo").wants("-", "SDP_ANSWER", "bmV4dA==")
	if resp, text := post(t, s, "/v1/send-alexa-offer-to-master", `{"ChannelARN":"`+arn+`","SenderClientId":"echo"}`, time.Now()); resp.StatusCode != 400 {
		t.Errorf("without an offer: %s %s", resp.Status, text)
	}
}

func TestDeviceCredentials(t *testing.T) {
	o := withTLS(t, localkvs.Options{Limits: generous()})
	certFile, keyFile, err := localkvs.DeviceCertificate(o.TLSDir, "cam1") // makes the CA, which the service then uses
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{keyFile, filepath.Join(o.TLSDir, "ca.key")} {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f, st, err)
		}
	}
	s := start(t, o)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	conf := trust(t, s)
	conf.Certificates = []tls.Certificate{pair}
	tr := &http.Transport{TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	with := &http.Client{Transport: tr}

	ask := func(c *http.Client, thing string) (int, string) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.TLSURL()+"/role-aliases/CamRoleAlias/credentials", nil)
		r.Header.Set("x-amzn-iot-thingname", thing)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if status, text := ask(httpClient(t, s), "cam1"); status != 403 {
		t.Errorf("without a certificate: %d %s", status, text)
	}
	if status, text := ask(with, "cam2"); status != 403 {
		t.Errorf("as another thing: %d %s", status, text)
	}
	status, text := ask(with, "cam1")
	var out struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	c := out.Credentials
	at, err := time.Parse(time.RFC3339, c.Expiration)
	if err != nil || time.Until(at).Round(time.Minute) != time.Hour {
		t.Errorf("expires %s, want in an hour", c.Expiration)
	}

	kv := kinesisvideo.New(kinesisvideo.Options{
		Region: region, BaseEndpoint: aws.String(s.TLSURL()), HTTPClient: with, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	})
	list := func() error {
		_, err := kv.ListSignalingChannels(t.Context(), &kinesisvideo.ListSignalingChannelsInput{})
		return err
	}
	if err := list(); err != nil {
		t.Errorf("with the device's keys: %v", err)
	}
	s.SetFaults(localkvs.Faults{ExpireTokens: true})
	if err := list(); code(err) != "ExpiredTokenException" {
		t.Errorf("with expired keys: %v", err)
	}
}

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
	if !strings.HasPrefix(m, "ws://m-") || !strings.HasPrefix(v, "ws://v-") || !strings.HasSuffix(m, ".localhost"+port) {
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

// TestEndpointFollowsCaller shows that endpoints have the host and port the caller used, and no port when it used none.
func TestEndpointFollowsCaller(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	for _, host := range []string{"kvs.example", "kvs.example:8443", "[::1]:9790", "localhost"} {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/getSignalingChannelEndpoint", nil)
		body := `{"ChannelARN":"` + arn + `"}`
		r.Body, r.ContentLength, r.Host = io.NopCloser(strings.NewReader(body)), int64(len(body)), host
		cred, _ := keys().Retrieve(t.Context())
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, sha(body), "kinesisvideo", region, time.Now()); err != nil {
			t.Fatal(err)
		}
		resp, err := httpClient(t, s).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := `{"ResourceEndpointList":[{"Protocol":"WSS","ResourceEndpoint":"ws://` + host + `"},{"Protocol":"HTTPS","ResourceEndpoint":"http://` + host + `"}]}`
		if string(text) != want {
			t.Errorf("to %s: %s, want %s", host, text, want)
		}
	}
}

func TestScript(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	c := dial(t, s, create(t, s, "cam"), "v")
	file := filepath.Join(t.TempDir(), "script.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"do":[{"do":"go_away"}]}, {"after":"1ms","set":{"delay":"1s","calls":{"status":503}}}, {"set":{"clock_offset":"-10m"},"do":[{"do":"close"}]}]`)
	steps, err := localkvs.ReadScript(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Play(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	if got := c.next(); got.MessageType != "GO_AWAY" {
		t.Errorf("got %+v", got)
	}
	c.wantsClose(1001)
	if f := s.Faults(); f.ClockOffset != -10*time.Minute || f.Delay != 0 || f.Calls.Status != 0 {
		t.Errorf("faults %+v, want those of the last step only", f)
	}
	for text, want := range map[string]string{
		`[{"do":[{"do":"explode"}]}]`:    "step 1: do: \"explode\"",
		`[{"aftre":"1s"}]`:               "aftre",
		`[{"after":"soon"}]`:             "soon",
		`[{"set":{"clock_offset":"x"}}]`: "invalid duration",
		`{}`:                             "cannot unmarshal",
	} {
		write(text)
		if _, err := localkvs.ReadScript(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestFaultsAsJSON(t *testing.T) {
	f := localkvs.Faults{
		Calls: localkvs.Refusal{Status: 503, Times: 2}, ClockOffset: -time.Minute, Delay: 1500 * time.Millisecond, Duplicate: true,
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"calls":{"status":503,"times":2},"duplicate":true,"clock_offset":"-1m0s","delay":"1.5s"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var back localkvs.Faults
	if err := json.Unmarshal(text, &back); err != nil || back.ClockOffset != f.ClockOffset || back.Delay != f.Delay || back.Calls.Times != 2 {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

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
	create(t, s, "cam") // so it runs
	if err := s.Run(t.Context()); err == nil {
		t.Error("run twice")
	}
}
