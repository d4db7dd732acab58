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

// errAnswerTooBig says that an answer is longer than anything the service has to say.
var errAnswerTooBig = errors.New("the answer is too long")

// transport sends the requests of the SDK and of this package: over HTTP/1.1, because some of the service's addresses
// offer HTTP/2 and then answer 400, without following redirects, which the service does not make and captive portals
// do. It tells the clock what time the service has.
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

// tls is the same for HTTPS and for WebSockets.
func (o *Options) tls() *tls.Config {
	return &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}

// Do is what the SDK wants of an HTTP client.
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

// ownBody copies the body of a request, which is short. The SDK closes its own as soon as an answer has begun, and an
// answer that is quicker than the last read of the body then breaks the connection that it comes over.
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
