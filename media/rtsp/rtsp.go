// Package rtsp is a source that plays an RTSP camera: H.264, H.265, VP8, VP9 or AV1, with Opus or G.711 audio, passed
// on unchanged.
//
//	camera --RTP in RTSP (interleaved, RFC 2326 section 10.12), or over UDP--> gortsplib
//	gortsplib --packets--> video, audio --frames--> sink
//
// The camera's input is limited and checked: at most 8 media in its SDP, access units of at most 8 MiB and 512 NAL
// units, timestamps that may wrap and jump, and no redirect to another host. A camera that cannot be used returns one
// clear *Error: what, where, and what to do.
package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

// DefaultTimeout is the default of Options.Timeout.
const DefaultTimeout = 10 * time.Second

// Options says which camera to play and how. URL is required.
type Options struct {
	// URL is rtsp://[user[:password]@]host[:port]/path, port 554 by default, or rtsps:// with TLS, port 322.
	URL string

	// Transport is how packets arrive; "" means TCP. With TLS only TCP and HTTP keep them secret; the others are
	// refused.
	Transport Transport

	// Fingerprint is the SHA-256 of the camera's certificate in hex. Without it, the system must trust the certificate.
	Fingerprint string

	// Basic allows the password to cross the network in clear text when the camera asks for that.
	Basic bool

	// Foreign lets through audio that browsers cannot play (AAC, linear PCM and others), to be transcoded. Otherwise it
	// is left out and the log says so.
	Foreign bool

	// Username and Password, each if set, replace those in URL.
	Username string
	Password string

	// Timeout is how long to wait for the connection, for each answer, and for the next video packet, unless the camera
	// usually sends less often; 0 means DefaultTimeout.
	Timeout time.Duration

	Log *slog.Logger // nil means slog.Default

	// DialContext makes the TCP connection; nil means that of a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Transport is how the packets of a camera arrive.
type Transport string

// The transports.
const (
	TCP       Transport = "tcp"       // in the RTSP connection; passes firewalls, loses nothing
	UDP       Transport = "udp"       // for cameras that support nothing else
	Multicast Transport = "multicast" // one stream for all who watch the camera
	HTTP      Transport = "http"      // in HTTP, for networks that let nothing else through
)

func (t Transport) library() (gortsplib.Protocol, gortsplib.Tunnel) {
	switch t {
	case UDP:
		return gortsplib.ProtocolUDP, gortsplib.TunnelNone
	case Multicast:
		return gortsplib.ProtocolUDPMulticast, gortsplib.TunnelNone
	case HTTP:
		return gortsplib.ProtocolTCP, gortsplib.TunnelHTTP
	}
	return gortsplib.ProtocolTCP, gortsplib.TunnelNone
}

// LogValue leaves out the password.
func (o Options) LogValue() slog.Value {
	address := "unreadable"
	if u, err := parseURL(o.URL); err == nil {
		address = u.CloneWithoutCredentials().String()
	}
	return slog.GroupValue(slog.String("url", address), slog.Duration("timeout", o.Timeout))
}

// Parse parses a URL as described at Options.URL. User and password stay in it: show Options by its LogValue, or Source
// by its String.
func Parse(raw string) (Options, error) {
	if _, err := parseURL(raw); err != nil {
		return Options{}, err
	}
	return Options{URL: raw}, nil
}

// parseURL never shows the URL in its error: a malformed one may hold a password anywhere.
func parseURL(raw string) (*base.URL, error) {
	u, err := base.ParseURL(raw)
	switch {
	case err != nil:
		return nil, errors.New("rtsp URL cannot be read; hint: rtsp://user:password@host:554/path, " +
			"with special characters in user and password percent-encoded (@ is %40, / is %2F), or given apart from " +
			"the URL")
	case u.Scheme != "rtsp" && u.Scheme != "rtsps":
		return nil, fmt.Errorf("URL scheme %q; hint: this source speaks rtsp:// and rtsps://", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("rtsp URL without a host; hint: rtsp://user:password@host:554/path")
	}
	return u, nil
}

// Source plays one camera. Make it with New.
type Source struct {
	url     *base.URL // with user and password: never shown; see address
	timeout time.Duration
	log     *slog.Logger

	transport   Transport
	fingerprint string
	basic       bool
	foreign     bool

	dial func(ctx context.Context, network, address string) (net.Conn, error)

	overUDP atomic.Bool // the camera has refused TCP

	said sync.Map // what was logged once and is not repeated in each run
}

// New checks the options. It does not connect: Run does.
func New(o Options) (*Source, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if u.User = o.userinfo(u.User); u.User != nil && u.User.Username() == "" {
		return nil, errors.New("rtsp password without a user; hint: set username too")
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("rtsp timeout %v; hint: 0 means %v", o.Timeout, DefaultTimeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{}).DialContext
	}
	print, err := parseFingerprint(o.Fingerprint)
	if err != nil {
		return nil, fmt.Errorf("rtsp source: %w", err)
	}
	if u.Scheme == "rtsps" && (o.Transport == UDP || o.Transport == Multicast) {
		return nil, fmt.Errorf("rtsps with transport %s; hint: tcp keeps the picture inside of TLS", o.Transport)
	}
	return &Source{
		url: u, timeout: o.Timeout, log: o.Log, dial: o.DialContext,
		transport: o.Transport, fingerprint: print, basic: o.Basic, foreign: o.Foreign,
	}, nil
}

// address returns the URL without user and password.
func (s *Source) address() string { return s.url.CloneWithoutCredentials().String() }

// once logs a warning, the first time only.
func (s *Source) once(message string, args ...any) {
	if _, again := s.said.LoadOrStore(message, true); !again {
		s.log.Warn(message, args...)
	}
}

// userinfo returns the login; nil means none.
func (o *Options) userinfo(inURL *url.Userinfo) *url.Userinfo {
	if o.Username == "" && o.Password == "" {
		return inURL
	}
	user, password := o.Username, o.Password
	if user == "" {
		user = inURL.Username() // nil has none
	}
	if password == "" && inURL != nil {
		password, _ = inURL.Password()
	}
	return url.UserPassword(user, password)
}

// way is how the packets arrive: as the options say, or over UDP when the camera has refused TCP.
func (s *Source) way() Transport {
	switch {
	case s.transport != "" && s.transport != TCP:
		return s.transport
	case s.overUDP.Load():
		return UDP
	}
	return TCP
}

// plain reports whether the connection begins with RTSP itself.
func (s *Source) plain() bool { return s.url.Scheme == "rtsp" && s.transport != HTTP }

// String returns the camera's URL without user and password.
func (s *Source) String() string { return s.address() }
