// Package mpegts is a source that receives an MPEG transport stream over UDP, plain or in RTP (RFC 2250).
//
//	sender --UDP--> dgram (one sender) --bytes--> demux --units--> es.Writer --frames--> sink
package mpegts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/dgram"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Options says where the stream arrives. Port is required.
type Options struct {
	Host      string     // an address of this host, or a multicast group; "" means all addresses of this host
	Port      int        // UDP
	Interface string     // that joins the group; "" is the system's choice
	From      netip.Addr // the sender; if not set, the first one that sends, until the next run

	// Foreign lets through audio that browsers cannot play. Otherwise it is left out and the log says so.
	Foreign bool

	Log *slog.Logger // nil means slog.Default
}

// Parse reads mpegts://HOST:PORT, mpegts://:PORT or mpegts://GROUP:PORT?interface=eth0&from=192.0.2.10.
func Parse(raw string) (Options, error) {
	const form = "mpegts://HOST:PORT, such as mpegts://127.0.0.1:5000 or mpegts://239.0.0.1:5000?interface=eth0"
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "mpegts" || u.Path != "" || u.User != nil || u.Fragment != "" {
		return Options{}, fmt.Errorf("mpegts source %q; hint: %s", raw, form)
	}
	o := Options{Host: u.Hostname()}
	if o.Port, err = strconv.Atoi(u.Port()); err != nil || o.Port < 1 || o.Port > 65535 {
		return o, fmt.Errorf("mpegts source %q: no port; hint: %s", raw, form)
	}
	if _, err := netip.ParseAddr(o.Host); o.Host != "" && err != nil {
		return o, fmt.Errorf("mpegts source %q: %q is not an IP address; hint: %s", raw, o.Host, form)
	}
	var d dgram.Options
	if err := d.Query(u.RawQuery); err != nil {
		return o, fmt.Errorf("mpegts source %q: %w", raw, err)
	}
	o.Interface, o.From = d.Interface, d.From
	return o, nil
}

// Source plays one stream. Make it with New.
type Source struct {
	o       Options
	silence es.Silence
}

var _ media.Source = (*Source)(nil)

// New checks the options and starts nothing.
func New(o Options) (*Source, error) {
	if o.Port < 1 || o.Port > 65535 {
		return nil, errors.New("mpegts source without a port")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Source{o: o}, nil
}

// Run listens until ctx is done or the stream cannot be played, as media.Source requires.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.run(ctx, out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	where := "mpegts source " + strconv.Itoa(s.o.Port)
	if errors.Is(err, es.ErrBFrames) {
		return fmt.Errorf("%s: %w; hint: set the encoder's B-frames to 0", where, err)
	}
	if errors.Is(err, es.ErrNoKey) {
		return fmt.Errorf("%s: %w; hint: set the encoder's key frame interval to 2 seconds", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

func (s *Source) run(ctx context.Context, out media.Sink) error {
	conn, err := dgram.Listen(ctx, dgram.Options{Host: s.o.Host, Port: s.o.Port, Interface: s.o.Interface,
		From: s.o.From})
	if err != nil {
		return err
	}
	defer conn.Close()
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(closed); _ = conn.Close() })
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	stream, err := demux.OpenTS(&reader{conn: conn, buf: make([]byte, 64<<10)})
	if err != nil {
		return err
	}
	tracks := s.silence.Choose(stream.Tracks(), s.o.Foreign, out, s.o.Log, "set the sender's audio to Opus")
	w := es.NewWriter(out, tracks...)
	w.MeasureAll(func(codec media.Codec, times float64) { es.TellRate(out, s.o.Log, codec, times) })
	for {
		u, err := stream.Next()
		if err != nil {
			return err
		}
		if err := w.Write(u.Codec, u.PTS, time.Now(), u.Data); err != nil {
			return err
		}
	}
}

// reader turns datagrams into a byte stream.
type reader struct {
	conn *dgram.Conn
	buf  []byte
	rest []byte // of the last datagram
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		n, err := r.conn.Read(r.buf)
		if err != nil {
			return 0, err
		}
		r.rest = plain(r.buf[:n])
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// plain removes the RTP header, if any (RFC 2250 section 2, RFC 3550 section 5.1): transport packets begin with 0x47,
// which is not RTP version 2. Those of 192 bytes begin with a time stamp, which may look like it.
func plain(b []byte) []byte {
	if len(b) < 12 || b[0]>>6 != 2 || stamped(b) {
		return b
	}
	n := 12 + 4*int(b[0]&0xf)
	if b[0]&0x10 != 0 && len(b) >= n+4 {
		n += 4 + 4*(int(b[n+2])<<8|int(b[n+3]))
	}
	if n > len(b) {
		return nil
	}
	return b[n:]
}

// stamped reports whether a datagram holds packets that each follow a time stamp of four bytes.
func stamped(b []byte) bool {
	for at := 4; at < len(b); at += 192 {
		if b[at] != 0x47 {
			return false
		}
	}
	return len(b)%192 == 0
}
