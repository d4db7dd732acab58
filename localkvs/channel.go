package localkvs

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	account    = "000000000000" // the account in every ARN
	defaultTTL = 60             // seconds
)

// channel is one signaling channel: its description in the control plane, and its connections.
type channel struct {
	name, arn, region, kind string
	created                 time.Time

	mu      sync.Mutex // guards what is below
	ttl     int        // seconds a message is kept
	version string
	tags    map[string]string
	storage storage
	deleted bool
	doing   string                   // CREATING, UPDATING or DELETING
	settled time.Time                // when that is over, and the channel ACTIVE or gone
	calls   map[string]*rate.Limiter // by operation
	router
}

// storage is a channel's media storage configuration.
type storage struct {
	StreamARN string `json:",omitempty"`
	Status    string
}

func newChannel(region, name, kind string, ttl int, tags map[string]string, now time.Time) *channel {
	if ttl == 0 {
		ttl = defaultTTL
	}
	return &channel{
		name: name, region: region, kind: kind, created: now, ttl: ttl, tags: tags,
		arn: fmt.Sprintf("arn:%s:kinesisvideo:%s:%s:channel/%s/%013d", partition(region), region, account, name,
			now.UnixMilli()),
		version: newVersion(),
		storage: storage{Status: "DISABLED"},
	}
}

// partition returns the AWS partition of a region.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// newVersion returns 1 to 64 letters and digits, new for every change of a channel.
func newVersion() string { return rand.Text()[:20] }

// channelInfo describes a channel as Describe and List return it.
type channelInfo struct {
	ChannelName, ChannelARN, ChannelType, ChannelStatus string
	CreationTime                                        float64 // seconds since 1970
	SingleMasterConfiguration                           singleMaster
	Version                                             string
}

type singleMaster struct{ MessageTtlSeconds int }

func (c *channel) info(now time.Time) channelInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return channelInfo{
		ChannelName: c.name, ChannelARN: c.arn, ChannelType: c.kind, ChannelStatus: c.status(now),
		CreationTime:              float64(c.created.UnixMilli()) / 1000,
		SingleMasterConfiguration: singleMaster{c.ttl},
		Version:                   c.version,
	}
}

// status returns the current status of the channel. The caller holds the mutex.
func (c *channel) status(now time.Time) string {
	if now.Before(c.settled) {
		return c.doing
	}
	return "ACTIVE"
}

// change runs f on the channel when version is the current one, or empty, and gives the channel a new version. Until
// settled, the channel reports what it is doing and refuses further changes.
func (c *channel) change(version, doing string, now, settled time.Time, f func()) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch st := c.status(now); {
	case st != "ACTIVE":
		return inUse("channel %s is %s", c.name, st)
	case version != "" && version != c.version:
		return badRequest("VersionMismatchException",
			fmt.Sprintf("the current version of channel %s is not %.64s", c.name, version))
	}
	f()
	c.version, c.doing, c.settled = newVersion(), doing, settled
	return nil
}

// gone reports whether the channel was deleted and the deletion is over.
func (c *channel) gone(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deleted && !now.Before(c.settled)
}

func (c *channel) media() storage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.storage
}

func (c *channel) setMedia(m storage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage = m
}

// allow counts one call of an operation, and reports whether its rate permits it.
func (c *channel) allow(op string, perSecond float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.calls[op]
	if l == nil {
		if c.calls == nil {
			c.calls = map[string]*rate.Limiter{}
		}
		l = newLimiter(perSecond)
		c.calls[op] = l
	}
	return l.Allow()
}

// newLimiter allows perSecond events a second, and bursts of one second's worth: the service does not document its
// bursts.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}
