package localkvs_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	region    = "us-west-2"
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// start runs a service on free ports until the test ends.
func start(t *testing.T, o localkvs.Options) *localkvs.Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	s, err := localkvs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

// withTLS adds TLS to options, with a fresh CA.
func withTLS(t *testing.T, o localkvs.Options) localkvs.Options {
	o.TLSListen, o.TLSDir = "127.0.0.1:0", t.TempDir()
	return o
}

func keys() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(localkvs.DefaultAccessKey, localkvs.DefaultSecretKey,
		"a session token/+=")
}

// client returns the official control-plane client for one base URL.
func client(t *testing.T, base string, hc *http.Client) *kinesisvideo.Client {
	return kinesisvideo.New(kinesisvideo.Options{
		Region: region, BaseEndpoint: aws.String(base), Credentials: keys(), HTTPClient: hc, RetryMaxAttempts: 1,
	})
}

// httpClient trusts the service's CA and leaves no connection open.
func httpClient(t *testing.T, s *localkvs.Server) *http.Client {
	tr := &http.Transport{TLSClientConfig: trust(t, s)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func trust(t *testing.T, s *localkvs.Server) *tls.Config {
	if s.CAFile() == "" {
		return nil
	}
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the CA file")
	}
	return &tls.Config{RootCAs: pool}
}

// create makes a channel and returns its ARN.
func create(t *testing.T, s *localkvs.Server, name string) string {
	t.Helper()
	out, err := client(t, s.URL(), httpClient(t, s)).CreateSignalingChannel(t.Context(),
		&kinesisvideo.CreateSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ChannelARN
}

// signed returns a pre-signed URL for a connection; id is "" for the master.
func signed(t *testing.T, endpoint, arn, id string, at time.Time) string {
	t.Helper()
	q := url.Values{"X-Amz-ChannelARN": {arn}, "X-Amz-Expires": {"299"}}
	if id != "" {
		q.Set("X-Amz-ClientId", id)
	}
	r, err := http.NewRequest("GET", endpoint+"/?"+q.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := keys().Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, _, err := v4.NewSigner().PresignHTTP(t.Context(), cred, r, emptyHash, "kinesisvideo", region, at)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func sha(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func ws(s *localkvs.Server) string { return "ws" + s.URL()[len("http"):] }

// dial connects as a viewer, or as the master with id "".
func dial(t *testing.T, s *localkvs.Server, arn, id string) *conn {
	t.Helper()
	c, err := tryDial(t, s, arn, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, s *localkvs.Server, arn, id string) (*conn, error) {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), signed(t, ws(s), arn, id, time.Now()), nil)
	if err != nil {
		return nil, refusal(resp, err)
	}
	t.Cleanup(func() { c.Close() })
	return &conn{t: t, Conn: c}, nil
}
