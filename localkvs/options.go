package localkvs

import (
	"context"
	"log/slog"
	"time"
)

// Options says where a Server listens and how strict it is. The zero value is a plain HTTP service on loopback with the
// documented quotas.
type Options struct {
	// Listen is the address for HTTP and WebSocket without TLS; default 127.0.0.1:9790. Port 0 takes a free one. "off"
	// turns it off.
	Listen string

	// TLSListen is the address for HTTPS and WSS; default none. It requires TLSDir.
	TLSListen string

	// TLSDir holds the service's own CA: ca.pem for clients to trust, and ca.key with mode 0600. Both are made when
	// missing.
	TLSDir string

	// TLSNames are additional names and addresses for the server's certificate. It always has localhost, names under
	// .localhost, the loopback addresses and the address that a client connects to.
	TLSNames []string

	// AccessKey and SecretKey are the accepted keys; default localkvs and localkvs.
	AccessKey, SecretKey string

	// TURNListen is the address of STUN and TURN, the same for UDP and TCP; default 127.0.0.1:0. With TLSListen set,
	// TURN over TLS listens on a free port of the same address. It must be one specific address, since relayed media
	// comes from it.
	TURNListen string

	// StateFile keeps the channels over a restart; default none.
	StateFile string

	// NamedEndpoints returns endpoints such as wss://m-1a2b3c4d.localhost:9790, whose names tell the roles apart, as
	// with AWS. Only for clients that resolve names under .localhost, which browsers do. By default the endpoints use
	// the host of the call.
	NamedEndpoints bool

	// Storage is the media end of storage sessions. It is called in a goroutine of its own for each session; default
	// none, and then nobody can join one. It must return when ctx is done: the client is gone or has joined again, or
	// the session's time is over.
	Storage func(ctx context.Context, session *StorageSession) error

	Limits   Limits
	Readings Readings

	// Log receives what happens; default none.
	Log *slog.Logger

	// Now is the service's clock for signatures, credentials and message ages; default time.Now. Tests set it.
	Now func() time.Time
}

// Limits are the service's quotas. Zero means the documented value, and a negative value no limit. (KVS WebRTC
// developer guide, "Quotas".)
type Limits struct {
	Channels int // channels in total; default 10,000
	Viewers  int // viewer connections of one channel; default 10

	Idle  time.Duration // silence after which a connection is closed; default 10 minutes
	Life  time.Duration // age at which a connection gets GO_AWAY; default 1 hour
	Grace time.Duration // time from GO_AWAY to the close; default 1 minute

	ConnectRate   float64 // connects per second for one channel and role; default 3
	SDPRate       float64 // offers per second, and answers per second, of one connection; default 5
	CandidateRate float64 // candidates per second of one connection; default 20
	ChannelCalls  float64 // calls per second of one operation for one channel; default 5
	StorageJoins  float64 // joins of storage sessions per second, for each role, for one channel; default 2
	AccountCalls  float64 // calls per second of one operation; default 50, 300 or 100, by operation

	CredentialLife time.Duration // of TURN credentials; default 5 minutes
	TokenLife      time.Duration // of keys from the credential endpoint; default 1 hour
	Allocations    int           // TURN allocations of one channel; default 50
	RelayBitrate   int           // bits per second of one allocation, each way; default 5,000,000
	StorageLife    time.Duration // of storage sessions; default 1 hour
	ActiveAfter    time.Duration // how long a channel stays CREATING, UPDATING or DELETING; default none
}

// Readings choose the behaviour where the documentation is silent. The zero value is the reading that most observations
// support; each field switches to the other one.
type Readings struct {
	CloseOnRate bool // a message above its rate closes the connection, instead of causing a STATUS_RESPONSE
	// A newer connection of the same identity closes the older one, instead of leaving it open without messages.
	CloseDisplaced bool
	OnlyClose      bool // an old connection is closed without a GO_AWAY before
	PingsAreIdle   bool // WebSocket pings do not count as activity
	// A message for a client that is not connected is refused with ResourceNotFoundException, instead of kept.
	RefuseAbsent   bool
	DropCandidates bool // candidates for a client that is not connected are dropped, instead of kept like descriptions
	SignOnce       bool // a pre-signed URL is valid for one connection only
}

// Defaults of Options.
const (
	DefaultListen     = "127.0.0.1:9790"
	DefaultTURNListen = "127.0.0.1:0"
	DefaultAccessKey  = "localkvs"
	DefaultSecretKey  = "localkvs"
)

func (o Options) withDefaults() Options {
	setDefault(&o.Listen, DefaultListen)
	setDefault(&o.TURNListen, DefaultTURNListen)
	setDefault(&o.AccessKey, DefaultAccessKey)
	setDefault(&o.SecretKey, DefaultSecretKey)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	return o
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Channels, 10000)
	setDefault(&l.Viewers, 10)
	setDefault(&l.Idle, 10*time.Minute)
	setDefault(&l.Life, time.Hour)
	setDefault(&l.Grace, time.Minute)
	setDefault(&l.ConnectRate, 3)
	setDefault(&l.SDPRate, 5)
	setDefault(&l.CandidateRate, 20)
	setDefault(&l.ChannelCalls, 5)
	setDefault(&l.StorageJoins, 2)
	setDefault(&l.CredentialLife, 5*time.Minute)
	setDefault(&l.TokenLife, time.Hour)
	setDefault(&l.StorageLife, time.Hour)
	setDefault(&l.Allocations, 50)
	setDefault(&l.RelayBitrate, 5_000_000)
	return l
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// LogValue hides the keys.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("listen", o.Listen), slog.String("tls_listen", o.TLSListen), slog.String("tls_dir", o.TLSDir),
		slog.String("turn_listen", o.TURNListen), slog.String("state_file", o.StateFile),
	)
}
