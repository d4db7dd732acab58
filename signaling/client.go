package signaling

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options says which channel, in which role, with whose keys. Channel, Role, Region and Credentials are required.
type Options struct {
	Channel     string // KVS channel name
	Role        Role
	ClientID    string                  // a viewer's ID; must be empty for a master
	Region      string                  // AWS region, for example eu-central-1
	Credentials aws.CredentialsProvider // called for each signature, so it should cache

	// Endpoint is the URL of the control plane, http or https, for a service other than AWS; "" means AWS in the
	// region. When it is set, the addresses that the service returns are trusted whatever their host.
	Endpoint string

	DualStack bool // use AWS's IPv4 and IPv6 host names
	FIPS      bool // use AWS's FIPS host names; always on in us-gov regions

	RootCAs *x509.CertPool // trusted for HTTPS and WebSocket; nil means the system's

	Create bool              // create the channel when it does not exist
	TTL    time.Duration     // message TTL of a channel that Create makes, 5 s to 120 s; 0 means the service's 60 s
	Tags   map[string]string // of a channel that Create makes

	Storage Storage // "" means StorageOff

	// Claim is called with the channel's ARN before each connect. An error keeps this client from connecting for a
	// while. Default: nobody is asked.
	Claim func(arn string) error

	// Spread is the longest random wait before the first redial after a connection was lost; 0 means 2 s. A fleet of n
	// agents should use n/300 seconds, so that 10,000 cameras that lose the service together can return without being
	// throttled.
	Spread time.Duration

	// Hearing is how long a master may hear nobody before it asks whether another one has taken the channel; 0: it
	// never asks. It asks as a viewer of its own channel, which needs kinesisvideo:ConnectAsViewer; without that it
	// renews its connection after twice the time.
	Hearing time.Duration

	Log *slog.Logger // nil means no log

	// The fields below are for tests and special networks.

	DialContext func(ctx context.Context, network, addr string) (net.Conn, error) // nil means the net package's
	Proxy       func(*http.Request) (*url.URL, error)                             // nil means http.ProxyFromEnvironment
	Now         func() time.Time                                                  // nil means time.Now
	// Uniform in [0,1); nil means math/rand/v2.
	Rand func() float64
}

// check reports everything that is wrong with the options, and fills in the defaults.
func (o *Options) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !isID(o.Channel) {
		bad("channel %q: bad name; hint: 1 to 256 of a-z A-Z 0-9 _ . -", clip(o.Channel))
	}
	switch o.Role {
	case Master:
		if o.ClientID != "" {
			bad("client id %q: a master has none; hint: leave it out, or take the role %s", clip(o.ClientID), Viewer)
		}
	case Viewer:
		if !isID(o.ClientID) || isReserved(o.ClientID) {
			bad("client id %q: not usable; hint: 1 to 256 of a-z A-Z 0-9 _ . - and neither AWS_ nor "+hearingPrefix+
				" at its start",
				clip(o.ClientID))
		}
	default:
		bad("role %q: unknown role; hint: %s or %s", o.Role, Master, Viewer)
	}
	if !isRegion(o.Region) {
		bad("region %q: not an AWS region; hint: such as eu-central-1", clip(o.Region))
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("endpoint %q: not a URL; hint: such as https://127.0.0.1:9443", clip(o.Endpoint))
		}
	}
	if o.Credentials == nil {
		bad("no credentials")
	}
	switch o.Storage {
	case "", StorageOff, StorageAuto, StorageOn:
	default:
		bad("storage %q: unknown mode; hint: %s, %s or %s", clip(string(o.Storage)), StorageOff, StorageAuto, StorageOn)
	}
	if o.TTL != 0 && (o.TTL < 5*time.Second || o.TTL > 120*time.Second) {
		bad("message TTL %v: out of range; hint: 5s to 2m", o.TTL) // KVS API reference, SingleMasterConfiguration
	}
	o.defaults()
	return errors.Join(errs...)
}

func (o *Options) defaults() {
	if o.Storage == "" {
		o.Storage = StorageOff
	}
	if o.Spread <= 0 {
		o.Spread = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = mathrand.Float64
	}
}

// State is the state of a client.
type State string

// The states of a [Client]. A client that is replacing a working WebSocket stays connected.
const (
	Idle       State = "idle"       // Run has not been called, or has returned
	Connecting State = "connecting" // calling the service, dialling
	Online     State = "connected"  // a WebSocket is open
	Waiting    State = "waiting"    // the last attempt failed; the next one is scheduled
	Displaced  State = "displaced"  // a WebSocket is open, but another master gets the messages
)

// Report is a snapshot of a client. Counters count from New.
type Report struct {
	State    State
	Since    time.Time     // when State last changed
	ARN      string        // "" until the channel was found
	Err      error         // why it is not connected; nil when it is
	RetryIn  time.Duration // while waiting or displaced
	Connects uint64        // WebSockets opened
	Received uint64        // messages passed to the owner
	Sent     uint64        // messages written
	Queued   int           // messages waiting to be written
	Expired  uint64        // messages dropped because they waited longer than 30 s
	Refused  uint64        // messages that the service refused
	Ignored  uint64        // frames that were not a message, or not one for this role

	Displaced uint64 // times that another master was found to have the messages

	Storage    bool  // media goes to a stream
	StorageErr error // why there is no storage session; nil when there is one or one is being joined
}

// Client keeps one role on one channel connected. Its methods are safe for concurrent use.
type Client struct {
	opts    Options
	clock   *clock
	http    *transport
	control *control
	ice     *iceCache
	queue   *queue
	sent    sentLog
	pace    connectPace   // owned by the current dial
	storage atomic.Bool   // the channel has storage on
	retired atomic.Bool   // it makes no further connection
	rejoin  chan error    // one slot
	network chan struct{} // one slot
	expect  chan struct{} // one slot

	hearingID string // the client ID of this master's questions

	mu      sync.Mutex
	running bool      // guarded by mu
	report  Report    // guarded by mu
	retryAt time.Time // guarded by mu
}

// New checks all options and starts nothing.
func New(opts Options) (*Client, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("signaling: %w", err)
	}
	c := &Client{opts: opts, queue: newQueue(), rejoin: make(chan error, 1), network: make(chan struct{}, 1),
		expect: make(chan struct{}, 1), hearingID: hearingPrefix + rand.Text()[:12],
		report: Report{State: Idle, Since: opts.Now()}}
	c.clock = &clock{now: opts.Now, log: opts.Log}
	c.http = newTransport(&c.opts, c.clock)
	c.control = newControl(&c.opts, c.clock, c.http)
	c.ice = &iceCache{control: c.control, lock: make(chan struct{}, 1)}
	return c, nil
}

// Run connects and stays connected until ctx is done. It then returns nil, and everything that it started has ended. It
// returns an error only when no later attempt could succeed. It calls on from one goroutine, in order; on must not
// block for long, since no message is read meanwhile. A Client may be Run again after Run has returned, but never twice
// at the same time.
//
// Every failure and every recovery is logged here once; the owner need not log them.
func (c *Client) Run(ctx context.Context, on func(Event)) error {
	c.mu.Lock()
	twice := c.running
	c.running = true
	c.mu.Unlock()
	if twice {
		return errors.New("signaling: Run was called twice at the same time")
	}
	err := newRun(c, on).loop(ctx)
	if errors.Is(err, errRetired) {
		err = nil
	}
	c.http.http.CloseIdleConnections()
	c.update(func(r *Report) {
		c.running = false
		r.State, r.Err, r.RetryIn = Idle, err, 0
	})
	return err
}

// Send checks m against every limit of the service and queues it. It never blocks: an error says that m cannot be sent
// at all, or that the queue is full ([ErrQueueFull]). A message waits at most 30 s for the connection and the service's
// rate limits; then it is dropped and counted. Messages to one recipient stay in order.
func (c *Client) Send(m Message) error {
	if err := m.check(c.opts.Role, c.storage.Load()); err != nil {
		return err
	}
	if m.CorrelationID == "" {
		m.CorrelationID = rand.Text()
	}
	frame, err := encode(m)
	if err != nil {
		return err
	}
	return c.queue.put(queued{Message: m, frame: frame, since: c.opts.Now()})
}

// ICEServers returns the channel's TURN servers. It asks the service when the cached ones are about to expire. It finds
// the channel first if necessary, so it works without Run. The error says what the owner can do.
func (c *Client) ICEServers(ctx context.Context) ([]ICEServer, error) {
	servers, err := c.ice.get(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	return servers, nil
}

// Report returns the state of the client.
func (c *Client) Report() Report {
	now := c.opts.Now()
	waiting, expired := c.queue.stats(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Queued, r.Expired = waiting, expired
	if r.State == Waiting || r.State == Displaced {
		r.RetryIn = max(0, c.retryAt.Sub(now))
	}
	return r
}

// update changes the report. It sets Since when the state changes.
func (c *Client) update(f func(*Report)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.report.State
	f(&c.report)
	if c.report.State != was {
		c.report.Since = c.opts.Now()
	}
}
