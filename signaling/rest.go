package signaling

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// call makes one REST-JSON request to one of the channel's own addresses, signed as the SDK would. It stands in for the
// SDK modules kinesisvideosignaling and kinesisvideowebrtcstorage, with their names and shapes. out is nil when the
// answer has no body.
func (c *control) call(ctx context.Context, op, base, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return &opError{op, err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+path,
		bytes.NewReader(body))
	if err != nil {
		return &opError{op, err}
	}
	req.Header.Set("Content-Type", "application/json")
	keys, err := c.keys(ctx)
	if err != nil {
		return &opError{op, err}
	}
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), service, c.opts.Region,
		time.Time{}); err != nil {
		return &opError{op, err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &opError{op, trimURL(err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return newAPIError(op, resp, answer)
	}
	if err != nil {
		return &badAnswerError{op, err}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &badAnswerError{op, err}
	}
	return nil
}

// keys asks the provider, for at most five seconds.
func (c *control) keys(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	k, err := c.opts.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &keysError{err}
	}
	return k, nil
}

// doubtKeys makes the next request fetch new keys when err says that the service refused the current ones. It reports
// whether the request should be repeated at once, with new keys or with the service's time, which is known by now.
func (c *control) doubtKeys(err error) bool {
	var api *APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.cause() {
	case skew:
		return true
	case denied:
		if cache, ok := c.opts.Credentials.(interface{ Invalidate() }); ok {
			cache.Invalidate()
		}
		return true
	}
	return false
}

// keysError says that there are no AWS keys to sign with.
type keysError struct{ err error }

func (e *keysError) Error() string { return "no AWS credentials: " + e.err.Error() }
func (e *keysError) Unwrap() error { return e.err }
