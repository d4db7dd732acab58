package localkvs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Server is one signaling service. After Run has returned it is finished; make another.
type Server struct {
	opts Options

	plain net.Listener // nil when off
	tls   net.Listener // nil when off; plain TCP below the TLS of run
	ran   atomic.Bool
}

// New checks the options and binds every address, so that URL and its like are known. It starts nothing. The caller must call Run,
// with a context that is already done if it has changed its mind: Run is what releases the addresses.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts.withDefaults()}
	if err := s.bind(); err != nil {
		s.unbind()
		return nil, err
	}
	return s, nil
}

func (s *Server) bind() (err error) {
	if s.opts.Listen != "off" {
		if s.plain, err = net.Listen("tcp", s.opts.Listen); err != nil {
			return fmt.Errorf("listen for http: %w; hint: is another localkvs running?", err)
		}
	}
	if s.opts.TLSListen != "" {
		if s.opts.TLSDir == "" {
			return errors.New("tls listen address without a directory for the CA; hint: set TLSDir")
		}
		if s.tls, err = net.Listen("tcp", s.opts.TLSListen); err != nil {
			return fmt.Errorf("listen for https: %w", err)
		}
	}
	if s.plain == nil && s.tls == nil {
		return errors.New("nothing to listen on; hint: set Listen or TLSListen")
	}
	return nil
}

func (s *Server) unbind() {
	for _, l := range []net.Listener{s.plain, s.tls} {
		if l != nil {
			l.Close()
		}
	}
}

// URL is the base URL without TLS, such as http://127.0.0.1:9790, or "" when that is off.
func (s *Server) URL() string { return baseURL("http", s.plain) }

// TLSURL is the base URL with TLS, such as https://127.0.0.1:9791, or "" when that is off.
func (s *Server) TLSURL() string { return baseURL("https", s.tls) }

func baseURL(scheme string, l net.Listener) string {
	if l == nil {
		return ""
	}
	return scheme + "://" + l.Addr().String()
}

// Run serves until ctx is done. When it returns, everything it started has ended and every address is released. It returns nil
// after ctx, and an error when a listener broke.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("localkvs: run called twice; hint: make another server")
	}
	defer s.unbind()
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 10 * time.Second}
	defer srv.Close()
	<-ctx.Done()
	return nil
}
