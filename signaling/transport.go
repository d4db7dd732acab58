package signaling

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	callTimeout = 10 * time.Second // one request over HTTPS, or one upgrade to a WebSocket
	maxAnswer   = 256 << 10        // bytes of an answer's body
)

// errAnswerTooBig says that an answer is longer than any valid one.
var errAnswerTooBig = errors.New("the answer is too long")

// transport sends the requests of the SDK and of this package. It uses HTTP/1.1, because some of the service's
// addresses offer HTTP/2 and then answer 400. It does not follow redirects: the service makes none, captive portals do.
// It passes the service's time to the clock.
type transport struct {
	http  *http.Client
	clock *clock
}

func newTransport(o *Options, k *clock) *transport {
	return &transport{clock: k, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 o.Proxy,
			DialContext:           o.DialContext,
			TLSClientConfig:       o.tls(),
			TLSHandshakeTimeout:   callTimeout,
			ResponseHeaderTimeout: callTimeout,
			IdleConnTimeout:       15 * time.Second,
			MaxIdleConnsPerHost:   1,
		},
	}}
}

// tls returns the TLS config for both HTTPS and WebSockets.
func (o *Options) tls() *tls.Config {
	return &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}

// Do implements the SDK's HTTP client.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	req, err := ownBody(req)
	if err != nil {
		return nil, err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, err
	}
	t.clock.learn(resp.Header)
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// ownBody copies the short body of a request. The SDK closes its own body as soon as an answer begins; an answer that
// arrives before the body is fully read would then break its connection.
func ownBody(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	data, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	req.Body, err = req.GetBody()
	return req, err
}

// limitedBody ends with an error instead of an early EOF.
type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: over %d bytes", errAnswerTooBig, maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
