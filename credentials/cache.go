package credentials

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	fetchLimit = 4 * time.Second  // less than the five seconds that a caller has for asking
	lookAgain  = time.Minute      // for keys without an end, which somebody may still have changed
	tryAgain   = 10 * time.Second // after a failed refresh, while the old keys serve
)

// cache hands out keys until they have lived through about 80 % of their time and then fetches new ones; many callers make one fetch.
// While that fails, the old ones serve to their end.
type cache struct {
	source func(context.Context) (aws.Credentials, error)
	log    *slog.Logger

	lock    chan struct{} // one slot; who holds its token owns the fields below
	keys    aws.Credentials
	refresh time.Time // when to fetch again; the zero time is now
	failing bool      // the last refresh failed
}

func newCache(source func(context.Context) (aws.Credentials, error), log *slog.Logger) *cache {
	return &cache{source: source, log: log, lock: make(chan struct{}, 1)}
}

var _ aws.CredentialsProvider = (*cache)(nil)

// Retrieve is aws.CredentialsProvider.
func (c *cache) Retrieve(ctx context.Context) (aws.Credentials, error) {
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
	keys, err := c.fetch(ctx)
	if err != nil {
		return c.old(now, err)
	}
	if c.failing {
		c.log.Info("AWS credentials refreshed")
	}
	c.keys, c.failing = keys, false
	c.refresh = now.Add(span(keys, now))
	return keys, nil
}

// fetch asks the source, for a limited time.
func (c *cache) fetch(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	return c.source(ctx)
}

// old returns the keys at hand when they still have time.
func (c *cache) old(now time.Time, err error) (aws.Credentials, error) {
	if !c.keys.HasKeys() || c.keys.CanExpire && !now.Before(c.keys.Expires) {
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
	return c.keys, nil
}

// span is how long keys serve before they are fetched again: 75 % to 85 % of their life, so that a fleet does not move in step. Keys
// that are over by this host's clock are used all the same: the clock may be wrong, and the service knows.
func span(k aws.Credentials, now time.Time) time.Duration {
	life := k.Expires.Sub(now)
	if !k.CanExpire || life <= 0 {
		return lookAgain
	}
	return time.Duration(float64(life) * (0.75 + 0.1*rand.Float64()))
}

// Invalidate makes the next Retrieve fetch.
func (c *cache) Invalidate() {
	c.lock <- struct{}{}
	c.refresh = time.Time{}
	<-c.lock
}
