package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConns    = 128 // concurrent connections
	stopTimeout = 900 * time.Millisecond
)

// Server serves a Handler at one address. After Run has returned it is finished; make another.
type Server struct {
	ln      net.Listener
	host    string // that Listen was given; "" for one that is not allowed in the Host header
	handler atomic.Pointer[http.Handler]
	log     *slog.Logger
}

// Listen opens addr ("host:port") without serving it yet. The caller must call Run, which closes it. An empty host
// means 127.0.0.1: other machines can only reach an address that is written out. A host in addr is also allowed in the
// Host header.
func Listen(addr string, o Options) (*Server, error) {
	o = o.withDefaults()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("status: listen address %q: %w; hint: write it as 127.0.0.1:9780", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("status: %w; hint: another program may hold the port, choose another "+
			"under status.listen", err)
	}
	s := &Server{ln: ln, log: o.Log}
	if !unspecified(host) {
		s.host = host
	}
	s.Set(o)
	return s, nil
}

// Set serves other options at the same address. Requests in progress end as they began.
func (s *Server) Set(o Options) {
	o = o.withDefaults()
	if s.host != "" {
		o.Hosts = append([]string{s.host}, o.Hosts...)
	}
	h := Handler(o)
	s.handler.Store(&h)
}

// Close closes a server that was not Run.
func (s *Server) Close() { _ = s.ln.Close() }

// URL returns the address of the page.
func (s *Server) URL() string {
	host, port, err := net.SplitHostPort(s.ln.Addr().String())
	if err != nil {
		return ""
	}
	if unspecified(host) {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// Run serves until ctx is done and then returns nil within a second: requests in progress are finished, and watch
// streams are told to end. It returns earlier only with the error of the listener.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(*s.handler.Load()).ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the watch streams
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second, // watch streams extend theirs
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(netutil.LimitListener(s.ln, maxConns)) }()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("status: serve: %w", err), srv.Close())
	case <-ctx.Done():
	}

	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		s.log.Warn("status connections cut off", "err", err, "after", stopTimeout)
		_ = srv.Close()
	}
	<-served
	return nil
}

// unspecified reports whether host is 0.0.0.0 or ::.
func unspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}
