package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	smithy "github.com/aws/smithy-go"
	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/internal/backoff"
)

// cause is what an error means for the next attempt.
type cause int

const (
	lost      cause = iota // an open session has ended
	failed                 // no answer, or a failure inside the service
	throttled              // too many requests
	denied                 // 401 or 403: keys or permissions
	skew                   // 403: the time of the signature, though the clock seems right
	taught                 // 403 that has taught us what the service's time is
	missing                // no such channel
	outdated               // the cached channel is outdated; already forgotten
	untrusted              // TLS or a captive portal: the other end is not the service
	refused                // the request itself is refused, or the answer makes no sense
	replacing              // a working session could not be replaced yet
	displaced              // another master gets the messages
	spent                  // the control plane was asked too often
	hopeless               // no later attempt can succeed
	causes                 // the number of causes
)

// next is the whole policy: how long to wait when cause happened for the n+1st time in a row, where u is uniform in
// [0,1). It is a pure function, so that a model of a fleet can drive the function that the agent uses.
//
// Waits are full jitter, U(0, cap), where many agents fail together, and U(1/2, 3/2) where a minimum wait matters.
func next(c cause, n int, spread time.Duration, u float64) time.Duration {
	full := func(base, limit time.Duration, n int) time.Duration { return backoff.Full(n, base, limit, u) }
	slow := func(base, limit time.Duration, n int) time.Duration { return backoff.Around(n, base, limit, u) }
	switch c {
	case lost:
		if n == 0 {
			return backoff.Scale(spread, u)
		}
		return full(time.Second, time.Minute, n)
	case failed:
		return full(time.Second, time.Minute, n)
	case throttled:
		return full(16*time.Second, 5*time.Minute, n)
	case denied, skew:
		if n == 0 {
			return 0 // with new keys, or a corrected clock
		}
		return slow(time.Minute, 10*time.Minute, n-1)
	case taught:
		if n < lessonsMost {
			return 0
		}
		return slow(time.Minute, 10*time.Minute, n-lessonsMost)
	case outdated:
		if n == 0 {
			return 0
		}
		return slow(time.Minute, 5*time.Minute, n-1)
	case missing, refused:
		return slow(time.Minute, 5*time.Minute, n)
	case untrusted:
		return backoff.Scale(30*time.Second, 1+u)
	case displaced:
		if n == 0 {
			return backoff.Scale(spread, u)
		}
		return slow(5*time.Minute, time.Hour, n-1)
	case replacing:
		return full(time.Second, 20*time.Second, n)
	}
	return 0
}

// life returns the age at which a working session is replaced: 45 to 57 minutes. That is less than the service's hour.
// It differs within a fleet, which would otherwise reconnect together every hour after an outage. It is part of the
// policy and pure like next.
func life(u float64) time.Duration { return 45*time.Minute + backoff.Scale(12*time.Minute, u) }

const (
	steady      = 2 * time.Minute // a session that lived this long was healthy: the waits start over
	maxWaitTold = 5 * time.Minute // the longest Retry-After that is obeyed
	lessonsMost = 3               // at once; a service that tells another time each time is not obeyed for ever
)

// retrier decides what follows an error. One goroutine owns it.
type retrier struct {
	spread time.Duration
	rand   func() float64
	n      [causes]int // consecutive failures
}

// retry returns how long to wait after err, or that no further attempt will be made. Nothing else in this package
// decides that.
func (r *retrier) retry(err error) (wait time.Duration, final bool) {
	c, told := r.classify(err)
	if c == hopeless {
		return 0, true
	}
	count := &r.n[c]
	if c == skew {
		count = &r.n[denied] // one quick retry for both
	}
	wait = next(c, *count, r.spread, r.rand())
	*count++
	if told > 0 {
		wait = min(told, maxWaitTold) + backoff.Scale(r.spread, r.rand()) // every client was told the same
	}
	return wait, false
}

// ended takes the age of a session at its end. After a long one the waits start over.
func (r *retrier) ended(age time.Duration) {
	if age >= steady {
		r.n = [causes]int{}
	}
}

// classify forgets old failures after a healthy session, so it must be called once for each error.
func (r *retrier) classify(err error) (c cause, told time.Duration) {
	var (
		end    *lostError
		api    *APIError
		budget *budgetError
		old    *outdatedError
		lesson *taughtError
		bad    *badAnswerError
		claim  *claimError
	)
	switch {
	case errors.As(err, &end):
		r.ended(end.age)
		return end.cause(), 0
	case errors.As(err, &claim):
		return refused, 0
	case errors.As(err, &lesson):
		return taught, 0
	case errors.As(err, &old):
		return outdated, 0
	case errors.As(err, &budget):
		return spent, budget.wait
	case errors.As(err, &api):
		return api.cause(), api.RetryAfter
	case errors.As(err, &bad), errors.Is(err, errStorageDisabled), errors.Is(err, errNoOffer), errors.Is(err,
		errUnstable):
		return refused, 0
	case isUntrusted(err):
		return untrusted, 0
	case isOurs(err):
		return hopeless, 0
	}
	return failed, 0
}

// cause classifies a close code (RFC 6455 section 7.4.1). None says that another master has connected: the service does
// not close the older one's session.
func (e *lostError) cause() cause {
	switch e.code() {
	case websocket.ClosePolicyViolation:
		return denied
	case websocket.CloseTryAgainLater:
		return throttled
	case websocket.CloseMessageTooBig, websocket.CloseProtocolError, websocket.CloseUnsupportedData,
		websocket.CloseInvalidFramePayloadData:
		return failed
	}
	return lost
}

// cause classifies the answer to a request. The service throttles with status 400, and answers 403 for clocks, keys and
// permissions alike.
func (e *APIError) cause() cause {
	switch e.Code {
	case "ClientLimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException",
		"RequestLimitExceeded":
		return throttled
	case "RequestTimeTooSkewed", "RequestExpired":
		return skew
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		return throttled
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		if strings.Contains(e.Message, "Signature expired") ||
			strings.Contains(e.Message, "Signature not yet current") {
			return skew
		}
		return denied
	case e.Status == http.StatusNotFound:
		return missing
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return failed
	case e.Status/100 == 3: // the service does not redirect; captive portals do
		return untrusted
	}
	return refused
}

// isUntrusted reports whether TLS found something other than the service.
func isUntrusted(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		name   x509.HostnameError
		author x509.UnknownAuthorityError
		inval  x509.CertificateInvalidError
	)
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &cert) || errors.As(err, &record) ||
		errors.As(err, &name) || errors.As(err, &author) || errors.As(err, &inval)
}

// isOurs reports whether the SDK refused to send the request.
func isOurs(err error) bool {
	var params smithy.InvalidParamsError
	var encode *smithy.SerializationError
	return errors.As(err, &params) || errors.As(err, &encode)
}

// outdatedError says that the request failed because of cached data.
type outdatedError struct{ err error }

func (e *outdatedError) Error() string { return e.err.Error() }
func (e *outdatedError) Unwrap() error { return e.err }

// taughtError says that the request was refused with a time that the clock did not know. Whatever failed before, the
// next request is signed with that.
type taughtError struct{ err error }

func (e *taughtError) Error() string { return e.err.Error() }
func (e *taughtError) Unwrap() error { return e.err }

// claimError says that somebody else has the channel.
type claimError struct{ err error }

func (e *claimError) Error() string { return e.err.Error() }
func (e *claimError) Unwrap() error { return e.err }

// stale reports whether err can come from an outdated ARN or address.
func stale(err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		return api.cause() == missing || api.cause() == denied
	}
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound // no such host, as opposed to an unreachable resolver
}
