package signaling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/time/rate"
)

const (
	foundLife  = 24 * time.Hour // how long ARN and endpoints are trusted
	createPoll = time.Second    // between checks of a channel that is being created
	createWait = 30 * time.Second
)

// channel is what the control plane says about a channel, for one role.
type channel struct {
	arn   string
	wss   string // wss://host, or ws://
	https string // for the calls under /v1
	found time.Time

	storage bool   // media goes to a stream
	webrtc  string // for the calls that join the storage session; "" without storage
}

// control finds the channel and caches the result, so that a reconnect needs no call.
type control struct {
	opts   *Options
	kv     *kinesisvideo.Client
	signer clockedSigner
	http   *transport

	// budget limits how often the whole lookup runs, whatever goes wrong: six at once, then one a minute.
	budget *rate.Limiter

	lock    chan struct{} // one slot; the holder of its token owns the fields below
	channel channel       // empty arn: not found yet, or forgotten
	viewer  channel       // the same channel with a viewer's addresses, for a master that asks
	last    error         // of the last lookup
}

func newControl(o *Options, k *clock, t *transport) *control {
	c := &control{opts: o, http: t, signer: clockedSigner{v4.NewSigner(), k},
		budget: rate.NewLimiter(rate.Every(time.Minute), 6), lock: make(chan struct{}, 1)}
	kv := kinesisvideo.Options{
		Region:       o.Region,
		Credentials:  aws.CredentialsProviderFunc(c.keys),
		HTTPClient:   t,
		HTTPSignerV4: c.signer,
		Logger: logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
			o.Log.Debug("AWS SDK", "says", fmt.Sprintf(format, args...))
		}),
		Retryer: aws.NopRetryer{}, // retry decides for all requests, in one place
	}
	if o.Endpoint != "" {
		kv.BaseEndpoint = &o.Endpoint
	} else {
		kv.EndpointOptions.UseFIPSEndpoint = fips(o)
		kv.EndpointOptions.UseDualStackEndpoint = state(o.DualStack)
	}
	c.kv = kinesisvideo.New(kv)
	return c
}

// fips is on in the us-gov regions, where the other host names do not exist everywhere.
func fips(o *Options) aws.FIPSEndpointState {
	if o.FIPS || strings.HasPrefix(o.Region, "us-gov-") {
		return aws.FIPSEndpointStateEnabled
	}
	return aws.FIPSEndpointStateDisabled
}

func state(on bool) aws.DualStackEndpointState {
	if on {
		return aws.DualStackEndpointStateEnabled
	}
	return aws.DualStackEndpointStateDisabled
}

// clockedSigner signs with the service's time instead of the time passed to it.
type clockedSigner struct {
	*v4.Signer
	clock *clock
}

func (s clockedSigner) SignHTTP(ctx context.Context, keys aws.Credentials, r *http.Request, hash, service,
	region string, _ time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, keys, r, hash, service, region, s.clock.signing(), opts...)
}

// find returns the channel, and whether it came from the cache. It runs once at a time.
func (c *control) find(ctx context.Context) (ch channel, remembered bool, err error) {
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return channel{}, false, ctx.Err()
	}
	defer func() { <-c.lock }()
	now := c.opts.Now()
	if c.channel.arn != "" && age(now, c.channel.found) < foundLife {
		return c.channel, true, nil
	}
	r := c.budget.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		if c.channel.arn != "" {
			return c.channel, true, nil
		}
		return channel{}, false, &budgetError{wait, c.last}
	}
	ch, c.last = c.ask(ctx)
	if notSent(c.last) {
		r.CancelAt(now)
	}
	if c.last == nil {
		c.channel = ch
		return ch, false, nil
	}
	// A day-old answer is better than nothing, unless the service has just said that it is no longer true.
	if c.channel.arn != "" && !stale(c.last) {
		return c.channel, true, nil
	}
	return channel{}, false, c.last
}

// ask looks the channel up in the control plane.
func (c *control) ask(ctx context.Context) (channel, error) {
	arn, err := c.describe(ctx)
	if err != nil {
		return channel{}, err
	}
	storage, err := c.storageEnabled(ctx, arn)
	if err != nil {
		return channel{}, err
	}
	return c.endpoints(ctx, arn, c.opts.Role, storage)
}

// notSent reports whether a request failed before it reached the service.
func notSent(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	var keys *keysError
	return errors.As(err, &dns) || errors.As(err, &keys) || errors.As(err, &op) && op.Op == "dial"
}

// findAsViewer returns the addresses that a viewer of the master's channel uses, and whether they came from the cache.
func (c *control) findAsViewer(ctx context.Context) (ch channel, remembered bool, err error) {
	own, _, err := c.find(ctx)
	if err != nil {
		return channel{}, false, err
	}
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return channel{}, false, ctx.Err()
	}
	defer func() { <-c.lock }()
	if c.viewer.arn == own.arn && age(c.opts.Now(), c.viewer.found) < foundLife {
		return c.viewer, true, nil
	}
	ch, err = c.endpoints(ctx, own.arn, Viewer, false)
	if err == nil {
		c.viewer = ch
	}
	return ch, false, err
}

// forgetViewer makes the next findAsViewer ask the service.
func (c *control) forgetViewer(ctx context.Context) {
	select {
	case c.lock <- struct{}{}:
		c.viewer = channel{}
		<-c.lock
	case <-ctx.Done():
	}
}

// forget makes the next find ask the service.
func (c *control) forget(ctx context.Context) {
	select {
	case c.lock <- struct{}{}:
		c.channel = channel{}
		<-c.lock
	case <-ctx.Done():
	}
}

// budgetError says that the control plane was asked too often, and what its last answer was.
type budgetError struct {
	wait time.Duration
	last error
}

func (e *budgetError) Error() string {
	if e.last == nil {
		return "the control plane was asked too often"
	}
	return e.last.Error() + " (now asked once a minute)"
}

func (e *budgetError) Unwrap() error { return e.last }

// describe finds the ARN. It creates the channel if Options.Create is set.
func (c *control) describe(ctx context.Context) (arn string, err error) {
	arn, err = c.describeOnce(ctx)
	var api *APIError
	if c.opts.Create && errors.As(err, &api) && api.Status == http.StatusNotFound {
		if err := c.create(ctx); err != nil {
			return "", err
		}
		arn, err = c.describeOnce(ctx)
	}
	// A channel is created in the background (KVS API reference, CreateSignalingChannel).
	for waited := time.Duration(0); errors.Is(err, errCreating) && waited < createWait; waited += createPoll {
		if err := sleep(ctx, createPoll); err != nil {
			return "", err
		}
		arn, err = c.describeOnce(ctx)
	}
	return arn, err
}

var (
	errCreating = errors.New("the channel is still being created")
	errDeleting = errors.New("the channel is being deleted")
)

func (c *control) describeOnce(ctx context.Context) (string, error) {
	const op = "DescribeSignalingChannel"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := c.kv.DescribeSignalingChannel(ctx,
		&kinesisvideo.DescribeSignalingChannelInput{ChannelName: &c.opts.Channel})
	if err != nil {
		return "", fromSDK(op, err)
	}
	if out.ChannelInfo == nil || aws.ToString(out.ChannelInfo.ChannelARN) == "" {
		return "", &badAnswerError{op, errors.New("no ARN in it")}
	}
	switch out.ChannelInfo.ChannelStatus {
	case types.StatusCreating:
		return "", &opError{op, errCreating}
	case types.StatusDeleting:
		return "", &opError{op, errDeleting}
	}
	return *out.ChannelInfo.ChannelARN, nil
}

func (c *control) create(ctx context.Context) error {
	const op = "CreateSignalingChannel"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &kinesisvideo.CreateSignalingChannelInput{ChannelName: &c.opts.Channel,
		ChannelType: types.ChannelTypeSingleMaster}
	if c.opts.TTL > 0 {
		ttl := aws.Int32(int32(c.opts.TTL / time.Second))
		in.SingleMasterConfiguration = &types.SingleMasterConfiguration{MessageTtlSeconds: ttl}
	}
	for k, v := range c.opts.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	_, err := c.kv.CreateSignalingChannel(ctx, in)
	var exists *types.ResourceInUseException
	if errors.As(err, &exists) { // somebody else created it first
		return nil
	}
	if err != nil {
		return fromSDK(op, err)
	}
	c.opts.Log.Info("channel created")
	return nil
}

func (c *control) endpoints(ctx context.Context, arn string, role Role, storage bool) (channel, error) {
	const op = "GetSignalingChannelEndpoint"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := c.kv.GetSignalingChannelEndpoint(ctx, &kinesisvideo.GetSignalingChannelEndpointInput{
		ChannelARN: &arn,
		SingleMasterChannelEndpointConfiguration: &types.SingleMasterChannelEndpointConfiguration{
			Protocols: protocols(storage),
			Role:      types.ChannelRole(role),
		},
	})
	if err != nil {
		return channel{}, fromSDK(op, err)
	}
	ch := channel{arn: arn, found: c.opts.Now(), storage: storage}
	for _, e := range out.ResourceEndpointList {
		switch strings.ToUpper(string(e.Protocol)) {
		case "WSS":
			ch.wss = aws.ToString(e.ResourceEndpoint)
		case "HTTPS":
			ch.https = aws.ToString(e.ResourceEndpoint)
		case "WEBRTC":
			ch.webrtc = aws.ToString(e.ResourceEndpoint)
		}
	}
	addrs := []string{ch.wss, ch.https}
	if storage {
		addrs = append(addrs, ch.webrtc)
	}
	for _, addr := range addrs {
		if err := c.opts.checkAddress(addr); err != nil {
			return channel{}, &badAnswerError{op, err}
		}
	}
	return ch, nil
}

// awsDomains are the suffixes of AWS's host names in its partitions (AWS endpoint rules, kinesisvideo).
var awsDomains = []string{".amazonaws.com", ".api.aws", ".amazonaws.com.cn", ".api.amazonwebservices.com.cn",
	".amazonaws.eu", ".api.amazonwebservices.eu",
	".c2s.ic.gov", ".sc2s.sgov.gov", ".api.aws.ic.gov", ".api.aws.scloud"}

// checkAddress refuses an address that is not KVS's in the region and its partition: requests to it are signed with our
// keys.
func (o *Options) checkAddress(addr string) error {
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is not an address", clip(addr))
	}
	if o.Endpoint != "" {
		return nil
	}
	if u.Scheme != "wss" && u.Scheme != "https" {
		return fmt.Errorf("%q is not encrypted", clip(addr))
	}
	host := "." + u.Hostname()
	for _, d := range awsDomains {
		if strings.HasSuffix(host, ".kinesisvideo."+o.Region+d) ||
			strings.HasSuffix(host, ".kinesisvideo-fips."+o.Region+d) {
			return nil
		}
	}
	return fmt.Errorf("%q is not a KVS host in %s", clip(u.Hostname()), o.Region)
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
