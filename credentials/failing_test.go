package credentials

import (
	"bytes"
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

// lasting returns keys with that lifetime from now.
func lasting(life time.Duration) aws.Credentials {
	return aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(life)}
}

// failings are the ways in which a source returns no usable keys.
var failings = []struct {
	name   string
	source func(context.Context) (aws.Credentials, error)
	reason string
}{
	{"down", func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("connection refused")
	}, "connection refused"},
	{"hangs", func(ctx context.Context) (aws.Credentials, error) {
		<-ctx.Done()
		return aws.Credentials{}, ctx.Err()
	}, "deadline exceeded"},
	{"gives keys that are over", func(context.Context) (aws.Credentials, error) { return lasting(-time.Minute), nil },
		"the source returned keys that expired at"},
}

// TestSourceFailsAfterTheFirstKeys: the good keys are used until they expire, and nobody waits longer than five
// seconds. One line is logged when it begins, an alarm when a fifth of their lifetime is left, and one line when it is
// over.
func TestSourceFailsAfterTheFirstKeys(t *testing.T) {
	for _, tt := range failings {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged bytes.Buffer
				source := func(context.Context) (aws.Credentials, error) { return lasting(time.Hour), nil }
				c := newCache(func(ctx context.Context) (aws.Credentials, error) { return source(ctx) },
					slog.New(slog.NewTextHandler(&logged, nil)))
				good, err := c.Retrieve(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				source = tt.source
				c.Invalidate() // the first failure comes early, and causes no alarm
				for time.Until(good.Expires) > 30*time.Second {
					asked := time.Now()
					k, err := c.Retrieve(t.Context())
					if took := time.Since(asked); took > 5*time.Second || err != nil || k.Expires != good.Expires {
						t.Fatalf("%v left: keys until %v, %v, after %v; want the good ones", time.Until(good.Expires),
							k.Expires, err, took)
					}
					if alarm := strings.Contains(logged.String(), "about to end"); alarm &&
						time.Until(good.Expires) > 12*time.Minute || !alarm &&
						time.Until(good.Expires) < 11*time.Minute+30*time.Second {
						t.Fatalf("alarm: %v with %v left, want it at 12 minutes", alarm, time.Until(good.Expires))
					}
					time.Sleep(20 * time.Second)
				}
				for _, line := range []string{"not refreshed, the old ones still serve",
					"level=ERROR msg=\"AWS credentials are about to end"} {
					if n := strings.Count(logged.String(), line); n != 1 {
						t.Errorf("%d lines with %q, want one:\n%s", n, line, &logged)
					}
				}
				if !strings.Contains(logged.String(), tt.reason) {
					t.Errorf("no reason %q in\n%s", tt.reason, &logged)
				}
				time.Sleep(time.Until(good.Expires))
				source = func(context.Context) (aws.Credentials, error) { return lasting(2 * time.Hour), nil }
				if k, err := c.Retrieve(t.Context()); err != nil || !k.Expires.After(good.Expires) {
					t.Errorf("keys until %v, %v; want new ones", k.Expires, err)
				}
				if n := strings.Count(logged.String(), "AWS credentials refreshed"); n != 1 {
					t.Errorf("%d lines about the end of it:\n%s", n, &logged)
				}
			})
		})
	}
}

// TestSourceFailsFromTheStart: twenty concurrent callers learn the reason within five seconds, from one fetch.
func TestSourceFailsFromTheStart(t *testing.T) {
	for _, tt := range failings[:2] { // expired keys are returned when there are no better ones
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := newCache(func(ctx context.Context) (aws.Credentials, error) {
					calls++
					time.Sleep(time.Second)
					return tt.source(ctx)
				}, slog.New(slog.DiscardHandler))
				began := time.Now()
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						_, err := c.Retrieve(t.Context())
						if took := time.Since(began); took > 5*time.Second || err == nil ||
							!strings.Contains(err.Error(), tt.reason) {
							t.Errorf("%v after %v", err, took)
						}
					})
				}
				wg.Wait()
				if calls != 1 {
					t.Errorf("%d fetches for twenty callers at once", calls)
				}
				if _, err := c.Retrieve(t.Context()); err == nil || calls != 2 {
					t.Errorf("%v, %d fetches; want that who asks later makes another", err, calls)
				}
			})
		})
	}
}

// TestCallerThatLeaves: a caller that gives up while the source is slow does not affect the others.
func TestCallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(func(ctx context.Context) (aws.Credentials, error) {
			select {
			case <-time.After(2 * time.Second):
				return lasting(time.Hour), nil
			case <-ctx.Done():
				return aws.Credentials{}, ctx.Err()
			}
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Retrieve(ctx); err == nil {
				t.Error("keys for a caller that has left")
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := c.Retrieve(t.Context()); err != nil {
				t.Errorf("the one who stayed: %v", err)
			}
		})
		wg.Wait()
	})
}
