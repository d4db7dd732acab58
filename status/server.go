package status

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxConns    = 128 // requests at work, and as many connections besides
	stopTimeout = 900 * time.Millisecond
)

// Server serves a Handler at one address. After Run has returned it is finished; make another.
type Server struct {
	ln          net.Listener
	host        string // that Listen was given; "" for one that is not allowed in the Host header
	secure      bool   // HTTPS
	handler     atomic.Pointer[http.Handler]
	certificate atomic.Pointer[tls.Certificate]
	log         *slog.Logger
}

// Listen opens addr ("host:port") without serving it yet. The caller must call Run, which closes it. An empty host
// means 127.0.0.1: other machines can only reach an address that is written out. A host in addr is also allowed in the
// Host header.
func Listen(addr string, o Options) (*Server, error) {
	o = o.withDefaults()
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return listenUnix(path, o)
	}
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
	s := &Server{ln: ln, log: o.Log, secure: o.Certificate != nil}
	if s.secure {
		s.ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil },
		})
	}
	if !unspecified(host) {
		s.host = host
	}
	s.Set(o)
	return s, nil
}

// listenUnix opens a socket that its owner and group may use. One that nobody listens on any more is replaced.
func listenUnix(path string, o Options) (*Server, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("status: %s: another process listens there", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("status: %w; hint: under systemd a path in /run/kvsagent", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("status: %w", err), ln.Close())
	}
	s := &Server{ln: ln, log: o.Log}
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
	s.certificate.Store(o.Certificate)
}

// Fits says whether Set can serve options: HTTPS and HTTP are not served on one socket.
func (s *Server) Fits(o Options) bool {
	_, unix := s.ln.Addr().(*net.UnixAddr)
	return unix || s.secure == (o.Certificate != nil)
}

// Close closes a server that was not Run.
func (s *Server) Close() { _ = s.ln.Close() }

// URL returns the address of the page.
func (s *Server) URL() string {
	if a, ok := s.ln.Addr().(*net.UnixAddr); ok {
		return "unix:" + a.Name
	}
	host, port, err := net.SplitHostPort(s.ln.Addr().String())
	if err != nil {
		return ""
	}
	if unspecified(host) {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if s.secure {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + "/"
}

// Run serves until ctx is done and then returns nil within a second: requests in progress are finished, and watch
// streams are told to end. It returns earlier only with the error of the listener.
func (s *Server) Run(ctx context.Context) error {
	open := &conns{}
	srv := &http.Server{
		Handler: atWork(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(*s.handler.Load()).ServeHTTP(w, r)
		})),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the watch streams
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second, // watch streams extend theirs
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnState:         open.on,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.ln) }()
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
