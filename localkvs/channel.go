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

// channel is one signaling channel: what the control plane says about it, and who is connected to it.
type channel struct {
	name, arn, region, kind string
	created                 time.Time

	mu      sync.Mutex // guards what is below
	ttl     int        // seconds a message is kept
	version string
	tags    map[string]string
	storage storage
	deleted bool
	calls   map[string]*rate.Limiter // by operation
	relay
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
		arn:     fmt.Sprintf("arn:%s:kinesisvideo:%s:%s:channel/%s/%013d", partition(region), region, account, name, now.UnixMilli()),
		version: newVersion(),
		storage: storage{Status: "DISABLED"},
	}
}

// partition is the part of AWS that a region is in.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// newVersion is 1 to 64 letters and digits, new with every change of a channel.
func newVersion() string { return rand.Text()[:20] }

// channelInfo is a channel as Describe and List show it.
type channelInfo struct {
	ChannelName, ChannelARN, ChannelType, ChannelStatus string
	CreationTime                                        float64 // seconds since 1970
	SingleMasterConfiguration                           singleMaster
	Version                                             string
}

type singleMaster struct{ MessageTtlSeconds int }

func (c *channel) info(now time.Time, activeAfter time.Duration) channelInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := "ACTIVE"
	if now.Sub(c.created) < activeAfter {
		status = "CREATING"
	}
	return channelInfo{
		ChannelName: c.name, ChannelARN: c.arn, ChannelType: c.kind, ChannelStatus: status,
		CreationTime:              float64(c.created.UnixMilli()) / 1000,
		SingleMasterConfiguration: singleMaster{c.ttl},
		Version:                   c.version,
	}
}

// change runs f on the channel when version is the present one, or empty, and gives the channel a new version.
func (c *channel) change(version string, f func()) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version != "" && version != c.version {
		return badRequest("VersionMismatchException", fmt.Sprintf("the current version of channel %s is not %.64s", c.name, version))
	}
	f()
	c.version = newVersion()
	return nil
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

// allow counts one call of an operation, and says whether its rate permits it.
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

// newLimiter allows so many events a second, and one second's worth at once: the size of the service's bursts is not documented.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}
