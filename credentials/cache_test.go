package credentials

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// fakeSource makes keys of one hour, or fails.
type fakeSource struct {
	calls int
	err   error
}

func (s *fakeSource) fetch(ctx context.Context) (aws.Credentials, error) {
	s.calls++
	if s.err != nil {
		return aws.Credentials{}, s.err
	}
	return aws.Credentials{AccessKeyID: "A", SecretAccessKey: strings.Repeat("s", s.calls), CanExpire: true,
		Expires: time.Now().Add(time.Hour)}, nil
}

func TestKeysAreRefreshedBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{}
		c := newCache(s.fetch, slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = c.Retrieve(t.Context()) })
		}
		wg.Wait()
		if s.calls != 1 {
			t.Errorf("%d fetches for 20 callers at once", s.calls)
		}
		time.Sleep(44 * time.Minute)
		if _, err := c.Retrieve(t.Context()); err != nil || s.calls != 1 {
			t.Errorf("%v, %d fetches at 73 %% of the life", err, s.calls)
		}
		time.Sleep(8 * time.Minute)
		if _, err := c.Retrieve(t.Context()); err != nil || s.calls != 2 {
			t.Errorf("%v, %d fetches at 87 %%", err, s.calls)
		}
		c.Invalidate()
		if _, err := c.Retrieve(t.Context()); err != nil || s.calls != 3 {
			t.Errorf("%v, %d fetches after Invalidate", err, s.calls)
		}
	})
}

func TestOldKeysServeWhileTheSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{}
		c := newCache(s.fetch, slog.New(slog.DiscardHandler))
		if _, err := c.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.err = errors.New("down")
		time.Sleep(55 * time.Minute)
		for range 10 {
			if k, err := c.Retrieve(t.Context()); err != nil || !k.HasKeys() {
				t.Errorf("keys %v, %v; want the old ones", k.HasKeys(), err)
			}
		}
		if s.calls != 2 {
			t.Errorf("%d fetches, want one try in ten seconds", s.calls)
		}
		time.Sleep(6 * time.Minute)
		if _, err := c.Retrieve(t.Context()); err == nil {
			t.Error("keys that are over were handed out")
		}
		s.err = nil
		if _, err := c.Retrieve(t.Context()); err != nil {
			t.Errorf("after the source is well again: %v", err)
		}
	})
}

func TestSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		}, slog.New(slog.DiscardHandler))
		start := time.Now()
		if _, err := c.Retrieve(t.Context()); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Expired keys are returned: this host's clock may be wrong, and the service knows the time.
func TestKeysThatAreOverByOurClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newCache(func(context.Context) (aws.Credentials, error) {
			calls++
			return aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s", CanExpire: true,
				Expires: time.Now().Add(-time.Hour)}, nil
		}, slog.New(slog.DiscardHandler))
		for range 3 {
			if k, err := c.Retrieve(t.Context()); err != nil || !k.HasKeys() {
				t.Errorf("keys %v, %v", k.HasKeys(), err)
			}
		}
		if calls != 1 {
			t.Errorf("%d fetches, want no storm", calls)
		}
	})
}

func FuzzParseIoT(f *testing.F) {
	f.Add([]byte(`{"credentials":{"accessKeyId":"ASIA","secretAccessKey":"s","sessionToken":"t","expiration":"2026-01-01T01:00:00Z"}}`))
	f.Add([]byte(`{"credentials":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := parseIoT(data); err == nil && (!k.HasKeys() || !k.CanExpire) {
			t.Errorf("accepted %s", data)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add([]byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"))
	f.Add([]byte("key = value"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseSecret(data)
		if err == nil && (v == "" || strings.ContainsAny(v, " \t\r\n\x00") || len(v) > maxSecret) {
			t.Errorf("accepted %q", v)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("err = %v", err)
		}
	})
}
