package credentials

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	askLimit   = 5 * time.Second  // for a caller, who may first have to wait for another's fetch
	fetchLimit = 4 * time.Second  // shorter than askLimit
	lookAgain  = time.Minute      // for keys without an expiry, which may still have been changed
	tryAgain   = 10 * time.Second // after a failed refresh, while the old keys are still valid
)

// cache returns keys until about 80 % of their lifetime has passed, and then fetches new ones; concurrent callers share
// one fetch. While a refresh fails, the old keys are used until they expire. One line is logged when that begins and
// another, an alarm, when a fifth of their lifetime is left.
type cache struct {
	source func(context.Context) (aws.Credentials, error)
	log    *slog.Logger

	lock    chan struct{} // one slot; the holder of its token owns the fields below
	keys    aws.Credentials
	refresh time.Time // when to fetch again; the zero time means now
	alarm   time.Time // when a fifth of the lifetime is left; the zero time means never
	failing bool      // the last refresh failed
	alarmed bool      // the alarm was logged

	failure error     // of the last failed fetch
	failed  time.Time // when it ended
}

func newCache(source func(context.Context) (aws.Credentials, error), log *slog.Logger) *cache {
	return &cache{source: source, log: log, lock: make(chan struct{}, 1)}
}

var _ aws.CredentialsProvider = (*cache)(nil)

// Retrieve is aws.CredentialsProvider.
func (c *cache) Retrieve(ctx context.Context) (aws.Credentials, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
	defer func() { <-c.lock }()
	now := time.Now()
	if c.keys.HasKeys() && now.Before(c.refresh) {
		return c.keys, nil
	}
	if c.failure != nil && c.failed.After(began) { // failed while this caller waited
		return c.old(now, c.failure)
	}
	keys, err := c.fetch(ctx)
	if now = time.Now(); err != nil {
		if ctx.Err() == nil { // one caller's cancellation must not fail the others
			c.failure, c.failed = err, now
		}
		return c.old(now, err)
	}
	c.take(keys, now)
	return keys, nil
}

// fetch asks the source, for a limited time. Expired keys are a failure as long as there are better ones. Otherwise
// they are used: this host's clock may be wrong, and the service knows the time.
func (c *cache) fetch(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	keys, err := c.source(ctx)
	if now := time.Now(); err == nil && over(keys, now) && c.keys.HasKeys() && !over(c.keys, now) {
		return aws.Credentials{}, fmt.Errorf("the source returned keys that expired at %s; "+
			"hint: does what renews them "+
			"still run?", keys.Expires.Format(time.RFC3339))
	}
	return keys, err
}

// take makes keys the current ones.
func (c *cache) take(keys aws.Credentials, now time.Time) {
	if c.failing {
		c.log.Info("AWS credentials refreshed")
	}
	c.keys, c.failing, c.alarmed, c.failure, c.alarm = keys, false, false, nil, time.Time{}
	c.refresh = now.Add(span(keys, now))
	if keys.CanExpire {
		c.alarm = keys.Expires.Add(-keys.Expires.Sub(now) / 5)
	}
}

// old returns the current keys if they are still valid.
func (c *cache) old(now time.Time, err error) (aws.Credentials, error) {
	if !c.keys.HasKeys() || over(c.keys, now) {
		return aws.Credentials{}, err
	}
	c.refresh = now.Add(tryAgain)
	if !c.failing {
		until := "their end is not known"
		if c.keys.CanExpire {
			until = c.keys.Expires.Format(time.RFC3339)
		}
		c.log.Warn("AWS credentials not refreshed, the old ones still serve", "err", err, "until", until)
	}
	c.failing = true
	if !c.alarmed && !c.alarm.IsZero() && !now.Before(c.alarm) {
		c.alarmed = true
		c.log.Error("AWS credentials are about to end and cannot be refreshed", "err", err,
			"left", c.keys.Expires.Sub(now).Round(time.Second))
	}
	return c.keys, nil
}

func over(k aws.Credentials, now time.Time) bool { return k.CanExpire && !now.Before(k.Expires) }

// span returns how long keys are used before new ones are fetched: 75 % to 85 % of their lifetime, so that a fleet does
// not move in step.
func span(k aws.Credentials, now time.Time) time.Duration {
	life := k.Expires.Sub(now)
	if !k.CanExpire || life <= 0 {
		return lookAgain
	}
	return time.Duration(float64(life) * (0.75 + 0.1*rand.Float64()))
}

// Invalidate makes the next Retrieve fetch new keys.
func (c *cache) Invalidate() {
	c.lock <- struct{}{}
	c.refresh = time.Time{}
	<-c.lock
}
