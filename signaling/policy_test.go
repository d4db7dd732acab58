package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/quick"
	"time"

	"github.com/gorilla/websocket"
)

// Each error, alone, with a random number of one half and a spread of 2 s: the first wait, the second, and the one
// after many.
func TestRetry(t *testing.T) {
	closed := func(code int) error {
		return &lostError{err: &websocket.CloseError{Code: code}, age: time.Minute}
	}
	api := func(status int, code, message string) error {
		return &APIError{Op: "X", Status: status, Code: code, Message: message}
	}
	const (
		s = time.Second
		m = time.Minute
	)
	for _, tt := range []struct {
		name  string
		err   error
		first time.Duration
		then  time.Duration
		late  time.Duration
	}{
		{"reset", &lostError{err: io.ErrUnexpectedEOF, age: m}, 1 * s, 1 * s, 30 * s},
		{"1000", closed(1000), 1 * s, 1 * s, 30 * s},
		{"1001", closed(1001), 1 * s, 1 * s, 30 * s},
		{"1002", closed(1002), s / 2, 1 * s, 30 * s},
		{"1006", closed(1006), 1 * s, 1 * s, 30 * s},
		{"1008", closed(1008), 0, 1 * m, 10 * m},
		{"1009", closed(1009), s / 2, 1 * s, 30 * s},
		{"1011", closed(1011), 1 * s, 1 * s, 30 * s},
		{"1012", closed(1012), 1 * s, 1 * s, 30 * s},
		{"1013", closed(1013), 8 * s, 16 * s, 150 * s},
		{"4000", closed(4000), 1 * s, 1 * s, 30 * s},
		{"no network", &opError{"X", &net.OpError{Op: "dial", Err: errors.New("unreachable")}}, s / 2, 1 * s, 30 * s},
		{"no resolver", &net.DNSError{IsTemporary: true}, s / 2, 1 * s, 30 * s},
		{"time-out", fmt.Errorf("x: %w", errDeleting), s / 2, 1 * s, 30 * s},
		{"500", api(500, "", ""), s / 2, 1 * s, 30 * s},
		{"503", api(503, "", ""), s / 2, 1 * s, 30 * s},
		{"408", api(408, "", ""), s / 2, 1 * s, 30 * s},
		{"502", api(502, "", ""), s / 2, 1 * s, 30 * s},
		{"504", api(504, "", ""), s / 2, 1 * s, 30 * s},
		{"426", api(426, "", ""), 1 * m, 2 * m, 5 * m},
		{"throttle", api(400, "ClientLimitExceededException", ""), 8 * s, 16 * s, 150 * s},
		{"429", api(429, "", ""), 8 * s, 16 * s, 150 * s},
		{"Retry-After", &APIError{Status: 503, RetryAfter: 40 * s}, 41 * s, 41 * s, 41 * s},
		{"Retry-After too long", &APIError{Status: 503, RetryAfter: 40 * time.Hour}, 5*m + s, 5*m + s, 5*m + s},
		{"401", api(401, "", ""), 0, 1 * m, 10 * m},
		{"403", api(403, "AccessDeniedException", ""), 0, 1 * m, 10 * m},
		{"expired signature", api(403, "", "Signature expired: x"), 0, 1 * m, 10 * m},
		{"signature not yet current", api(403, "", "Signature not yet current: x"), 0, 1 * m, 10 * m},
		{"404", api(404, "ResourceNotFoundException", ""), 1 * m, 2 * m, 5 * m},
		{"404 of what was remembered", &outdatedError{api(404, "", "")}, 0, 1 * m, 5 * m},
		{"400", api(400, "InvalidArgumentException", ""), 1 * m, 2 * m, 5 * m},
		{"bad answer", &badAnswerError{"X", io.ErrUnexpectedEOF}, 1 * m, 2 * m, 5 * m},
		{"redirect", api(302, "", ""), 45 * s, 45 * s, 45 * s},
		{"certificate", &opError{"X", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, 45 * s,
			45 * s, 45 * s},
		{"budget", &budgetError{wait: 50 * s}, 51 * s, 51 * s, 51 * s},
		{"no keys", &keysError{errors.New("x")}, s / 2, 1 * s, 30 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &retrier{spread: 2 * s, rand: func() float64 { return 0.5 }}
			var got []time.Duration
			for range 20 {
				wait, final := r.retry(tt.err)
				if final {
					t.Fatal("final")
				}
				got = append(got, wait)
			}
			if got[0] != tt.first || got[1] != tt.then || got[19] != tt.late {
				t.Errorf("retry(%v) = %v, %v ... %v, want %v, %v ... %v", tt.err, got[0], got[1], got[19], tt.first,
					tt.then, tt.late)
			}
		})
	}
}

func TestRetryStartsOverAfterTwoGoodMinutes(t *testing.T) {
	r := &retrier{spread: 2 * time.Second, rand: func() float64 { return 0.5 }}
	for range 10 {
		r.retry(&lostError{err: io.EOF, age: 119 * time.Second})
	}
	if wait, _ := r.retry(&lostError{err: io.EOF, age: 119 * time.Second}); wait != 30*time.Second {
		t.Errorf("wait = %v, want 30s: not well long enough", wait)
	}
	if wait, _ := r.retry(&lostError{err: io.EOF, age: 120 * time.Second}); wait != time.Second {
		t.Errorf("wait = %v, want 1s", wait)
	}
}

// TestClosesAreNoRival: a service that restarts closes one session after another. The channel is not left alone for
// minutes for that.
func TestClosesAreNoRival(t *testing.T) {
	for _, code := range []int{1000, 1001, 1011, 1012, 4000, 4999} {
		r := &retrier{spread: 2 * time.Second, rand: func() float64 { return 0.5 }}
		for n := range 4 {
			wait, _ := r.retry(&lostError{err: &websocket.CloseError{Code: code}, age: time.Second})
			if wait > 4*time.Second {
				t.Errorf("%d for the %dth time: wait %v", code, n+1, wait)
			}
		}
	}
}

// TestLessonAfterRefusals: a 403 that teaches the clock is followed at once, however many others went before. A service
// that goes on teaching is not followed for ever.
func TestLessonAfterRefusals(t *testing.T) {
	r := &retrier{spread: 2 * time.Second, rand: func() float64 { return 0.5 }}
	refusal := &APIError{Status: 403, Message: "Signature expired: x"}
	for range 5 {
		r.retry(refusal)
	}
	for n := range lessonsMost {
		if wait, _ := r.retry(&taughtError{refusal}); wait != 0 {
			t.Errorf("lesson %d: wait %v", n+1, wait)
		}
	}
	if wait, _ := r.retry(&taughtError{refusal}); wait < 30*time.Second {
		t.Errorf("wait %v after %d lessons", wait, lessonsMost)
	}
}

// Whatever happens, however often, a wait is never negative and never longer than fifteen minutes, or an hour and a
// half before a channel is taken back again.
func TestNextIsBounded(t *testing.T) {
	err := quick.Check(func(c uint8, n uint16, u uint32) bool {
		cause, most := cause(c%uint8(causes)), 15*time.Minute
		if cause == displaced {
			most = 90 * time.Minute
		}
		got := next(cause, int(n), 30*time.Second, float64(u)/(1<<32))
		return got >= 0 && got <= most
	}, &quick.Config{MaxCount: 10_000})
	if err != nil {
		t.Error(err)
	}
}
