package rtsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// Error is why a camera could not be played, or stopped: one line without secrets.
type Error struct {
	Op   string // what was being done: connect, describe, setup, play, receive
	URL  string // of the camera, without user and password
	Err  error  // what went wrong
	Hint string // what to do; may be empty

	slow bool
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %s: %v", e.URL, e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v; hint: %s", e.URL, e.Op, e.Err, e.Hint)
}

func (e *Error) Unwrap() error { return e.Err }

// Slow reports that a retry will not help until something was changed, such as a password. Retry rarely: many cameras
// lock an account after a few wrong passwords.
func (e *Error) Slow() bool { return e.slow }

// Away reports that nothing answered: the camera is off, or starting. Retries may be frequent.
func (e *Error) Away() bool { return e.Op == "connect" && !e.slow }

// Errors that are told apart.
var (
	errPassword = errors.New("user or password refused (401)")
	errNoUser   = errors.New("the camera wants a user and a password (401)")
	errBasic    = errors.New("the camera wants the password in clear text (basic), where everybody on the way can " +
		"read it")
	errStale = errors.New("the camera wants another login in mid-session (401): its challenge (nonce) has become " +
		"stale")
	errForbidden = errors.New("access refused (403)")
	errTransport = errors.New("the camera refuses this way of transport")
	errPath      = errors.New("no such stream (404)")
	errNotRTSP   = errors.New("no RTSP answer")
	errTimeout   = errors.New("no answer in time")
	errClosed    = errors.New("the camera closed the connection")
	errRefused   = errors.New("connection refused")
	errNoRoute   = errors.New("no route to the host")
)

// refuse returns an error that lasts until something was changed.
func (s *Source) refuse(op string, err error, hint string) *Error {
	return &Error{Op: op, URL: s.address(), Err: err, Hint: hint, slow: true}
}

// fail makes an *Error from an error of the library or the network.
func (s *Source) fail(op string, err error) error {
	e := &Error{Op: op, URL: s.address(), Err: err}
	if already, ok := errors.AsType[*Error](err); ok {
		return already
	}
	if status, ok := errors.AsType[liberrors.ErrClientBadStatusCode](err); ok {
		s.explainStatus(e, status)
		return e
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.Err = fmt.Errorf("host name %q: %s", dns.Name, dns.Err)
		e.Hint = "check the name, or use the camera's IP address"
		return e
	}
	if cert, ok := errors.AsType[*certificateError](err); ok {
		e.Err, e.slow = cert, true
		e.Hint = "if this is the camera, and it made its certificate itself, set fingerprint: " + cert.print
		return e
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Err, e.Hint = errRefused, "is RTSP switched on in the camera, and the port right (554 by default)?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Err, e.Hint = errNoRoute, "is the camera on, and in a network that this host reaches?"
	case timedOut(err):
		e.Err, e.Hint = fmt.Errorf("%w (%v)", errTimeout, s.timeout), "is the camera on, and does this port speak RTSP?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err,
		syscall.EPIPE):
		e.Err, e.Hint = errClosed, "it may have restarted, or have no room for another client"
	default:
		if auth, ok := errors.AsType[liberrors.ErrClientAuthSetup](err); ok {
			e.Err, e.Hint, e.slow = auth, "this camera's kind of login is not known; set it to digest", true
		}
	}
	return e
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if _, ok := errors.AsType[liberrors.ErrClientRequestTimedOut](err); ok {
		return true
	}
	if _, ok := errors.AsType[liberrors.ErrClientTCPTimeout](err); ok {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// explainStatus fills e for an answer other than 200 (RFC 2326, section 11).
func (s *Source) explainStatus(e *Error, status liberrors.ErrClientBadStatusCode) {
	e.slow = true
	switch status.Code {
	case base.StatusUnauthorized:
		if s.url.User == nil {
			e.Err, e.Hint = errNoUser, "set username and password of this source"
			return
		}
		e.Err = fmt.Errorf("%w for user %q", errPassword, s.url.User.Username())
		e.Hint = "check username and password of this source; after some wrong ones many cameras lock the account " +
			"for minutes"
	case base.StatusForbidden:
		e.Err, e.Hint = errForbidden, "allow this user to view the stream, or this host's address, in the camera"
	case base.StatusUnsupportedTransport, base.StatusNotAcceptable:
		e.Err = fmt.Errorf("%w (%d)", errTransport, status.Code)
		e.Hint = "set transport: udp"
		if s.overUDP.Load() {
			e.Err = fmt.Errorf("%w (%d), TCP and UDP alike", errTransport, status.Code)
			e.Hint = "set transport: multicast, or http"
		} else if s.way() == UDP {
			e.Hint = "set transport: tcp, or multicast"
		}
	case base.StatusNotFound:
		e.slow = false // cameras that are starting say so, too, until their streams exist
		e.Err, e.Hint = errPath, "check the path after the host; each make of camera has its own (see its manual)"
	default:
		e.Err = fmt.Errorf("the camera answers %d (%s)", status.Code, printable(status.Message))
		e.slow = status.Code < 500 && status.Code != base.StatusNotEnoughBandwidth
		if status.Code == base.StatusServiceUnavailable || status.Code == base.StatusNotEnoughBandwidth {
			e.Hint = "it may have no room for another client"
		}
	}
}

// printable makes text that a camera chose fit for one line of a log.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, text)
	if len(clean) > 80 {
		clean = clean[:80] + "..."
	}
	return clean
}
