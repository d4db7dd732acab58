package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// explain adds to an error what the owner can do about it.
func (c *Client) explain(err error) error {
	if hint := c.hint(err); hint != "" {
		return fmt.Errorf("%w; hint: %s", err, hint)
	}
	return err
}

func (c *Client) hint(err error) string {
	var (
		api *APIError
		dns *net.DNSError
		end *lostError
	)
	switch {
	case errors.As(err, &api):
		return c.apiHint(api)
	case isUntrusted(err):
		return tlsHint(err)
	case errors.As(err, &dns):
		return fmt.Sprintf("is %q the right region, and does DNS work on this host?", c.opts.Region)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENETUNREACH), errors.Is(err,
		syscall.EHOSTUNREACH):
		return "is the network up, and does the firewall let HTTPS out?"
	case errors.As(err, &end) && end.age < steady && end.code() != 0 && c.opts.Role == Viewer:
		return "when this goes on, another viewer is connected under the same client id"
	}
	return ""
}

func (c *Client) apiHint(e *APIError) string {
	switch e.cause() {
	case missing:
		return fmt.Sprintf("create the channel %q in %s, or set create: true", c.opts.Channel, c.opts.Region)
	case throttled:
		return "too many requests or viewers for the channel or the account; it will be tried more slowly"
	case skew:
		return "the clock of this host is wrong; the service's time is used from now on"
	case denied:
		switch {
		case strings.Contains(e.Code, "Expired") ||
			strings.Contains(e.Message, "security token included in the request is expired"):
			return "the session token has expired; get new credentials"
		case strings.Contains(e.Code, "Signature") || strings.Contains(e.Message, "signature"):
			return "wrong secret access key, or region"
		case strings.Contains(e.Code, "UnrecognizedClient") || strings.Contains(e.Code, "InvalidClientTokenId") ||
			strings.Contains(e.Message, "security token"):
			return "the access key is not valid (or its session token is missing)"
		}
		return fmt.Sprintf("allow kinesisvideo:%s on the channel in the IAM policy", e.Op)
	case untrusted:
		return "something between this host and the service answers in its place, such as a captive portal"
	}
	return ""
}

func tlsHint(err error) string {
	var inval x509.CertificateInvalidError
	if errors.As(err, &inval) && inval.Reason == x509.Expired {
		return "is this host's clock right?"
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return "the other end does not speak TLS; is the endpoint http, not https?"
	}
	return "a private service or a TLS-inspecting proxy needs its CA certificate in ca_file"
}
