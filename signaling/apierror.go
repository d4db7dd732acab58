package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// newAPIError reads an unsuccessful answer. The type comes from the header, without its ":http://..." tail, or from the
// body, without its "namespace#" head; the text comes from message or Message.
func newAPIError(op string, resp *http.Response, body []byte) *APIError {
	e := &APIError{Op: op, Status: resp.StatusCode, RequestID: clip(resp.Header.Get("X-Amzn-Requestid")),
		RetryAfter: retryAfter(resp.Header)}
	var in struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // any case
	}
	if json.Unmarshal(body, &in) != nil { // not the service's answer: the page of a proxy or load balancer
		in.Message = oneLine(string(body))
	}
	e.Message = clipTo(in.Message, maxStatusChars)
	for _, code := range []string{resp.Header.Get("X-Amzn-Errortype"), in.Type, in.Code} {
		if code != "" {
			code, _, _ = strings.Cut(code, ":")
			e.Code = clip(code[strings.LastIndexByte(code, '#')+1:])
			break
		}
	}
	return e
}

// fromSDK turns an SDK error into an APIError when the service has answered. Any other error is returned with op added.
func fromSDK(op string, err error) error {
	var keys *keysError
	if errors.As(err, &keys) {
		return &opError{op, keys}
	}
	var unsent *smithyhttp.RequestSendError // comes inside a ResponseError of status 0
	var answer *smithyhttp.ResponseError
	if errors.As(err, &unsent) || !errors.As(err, &answer) || answer.Response == nil {
		return &opError{op, trimSDK(err)}
	}
	var odd *smithy.DeserializationError
	unread := errors.As(err, &odd)
	switch {
	case answer.HTTPStatusCode()/100 == 2:
		if unread {
			err = odd.Err
		}
		return &badAnswerError{op, trimSDK(err)}
	case unread: // the page of a proxy or load balancer
		return newAPIError(op, answer.Response.Response, odd.Snapshot)
	}
	e := newAPIError(op, answer.Response.Response, nil)
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = clip(api.ErrorCode()), clipTo(api.ErrorMessage(), maxStatusChars)
	}
	return e
}

// trimSDK removes the SDK's own layers from an error, whose text would say things twice.
func trimSDK(err error) error {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		err = op.Err
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		return trimURL(send.Err)
	}
	return err
}

// trimURL shortens the URL that a net/http error quotes to its host.
func trimURL(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	at, bad := url.Parse(u.URL)
	if bad != nil {
		return u.Err
	}
	return fmt.Errorf("%s: %w", at.Host, u.Err)
}

// opError is a request that got no answer.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string { return e.op + ": " + e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

// badAnswerError is a successful answer that cannot be understood.
type badAnswerError struct {
	op  string
	err error
}

func (e *badAnswerError) Error() string { return e.op + ": bad answer: " + e.err.Error() }
func (e *badAnswerError) Unwrap() error { return e.err }

// retryAfter reads the header's form in seconds. The form with a date is ignored, since the clocks may differ.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func clipTo(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// oneLine makes text of unknown origin fit for a log line.
func oneLine(s string) string { return clipTo(strings.Join(strings.Fields(s), " "), 200) }
