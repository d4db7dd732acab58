package localkvs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is one signaling service. After Run has returned it is finished; make another.
type Server struct {
	opts     Options
	ca       *authority // nil without TLS
	channels *directory
	verifier verifier
	keys     keyring
	ops      map[string]operation // by path
	faults   faultBox
	recent   recent
	urls     onceOnly
	started  time.Time

	writeBuffers sync.Pool // of the WebSocket library

	plain  net.Listener // nil when off
	secure net.Listener // nil when off; TLS
	turn   *turnServer

	mu      sync.Mutex // guards ran and closing, and keeps sockets from growing after the wait for it
	ran     bool
	closing bool
	sockets sync.WaitGroup
}

// New checks the options, loads or makes the CA and the channels, and binds every address, so that URL and the like are
// known. It starts nothing. The caller must call Run, if need be with a context that is already done, because Run
// releases the addresses.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts.withDefaults()}
	s.started = s.now()
	s.keys = keyring{access: s.opts.AccessKey, secret: s.opts.SecretKey, now: s.now}
	s.verifier = verifier{secret: s.keys.lookup, now: s.now}
	s.channels = newDirectory(s.opts.Limits.Channels)
	s.ops = s.operations()
	if err := s.channels.load(s.opts.StateFile); err != nil {
		return nil, err
	}
	if err := s.bind(); err != nil {
		s.unbind()
		return nil, err
	}
	return s, nil
}

func (s *Server) bind() (err error) {
	if s.opts.TLSListen != "" {
		if s.opts.TLSDir == "" {
			return errors.New("tls listen address without a directory for the CA; hint: set TLSDir (--tls-dir)")
		}
		if s.ca, err = loadAuthority(s.opts.TLSDir, time.Now()); err != nil {
			return err
		}
		if s.secure, err = net.Listen("tcp", s.opts.TLSListen); err != nil {
			return fmt.Errorf("listen for https: %w", err)
		}
	}
	if s.opts.Listen != "off" {
		if s.plain, err = net.Listen("tcp", s.opts.Listen); err != nil {
			return fmt.Errorf("listen for http: %w; hint: is another localkvs running?", err)
		}
	}
	if s.plain == nil && s.secure == nil {
		return errors.New("nothing to listen on; hint: set Listen or TLSListen (--listen, --tls-listen)")
	}
	s.turn, err = listenTURN(s.opts.TURNListen, s.ca != nil)
	return err
}

func (s *Server) unbind() {
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			l.Close()
		}
	}
	if s.turn != nil {
		s.turn.close()
	}
}

// URL returns the base URL without TLS, such as http://127.0.0.1:9790, or "" when that is off.
func (s *Server) URL() string { return baseURL("http", s.plain) }

// TLSURL returns the base URL with TLS, such as https://127.0.0.1:9791, or "" when that is off.
func (s *Server) TLSURL() string { return baseURL("https", s.secure) }

func baseURL(scheme string, l net.Listener) string {
	if l == nil {
		return ""
	}
	return scheme + "://" + l.Addr().String()
}

// now returns the service's time, with its fault.
func (s *Server) now() time.Time { return s.opts.Now().Add(s.faults.get().ClockOffset) }

// Run serves until ctx is done. When it returns, everything that it started has ended and every address is released. It
// returns nil after ctx, and an error when a listener failed.
func (s *Server) Run(ctx context.Context) error {
	if !s.begin() {
		return errors.New("localkvs: run called twice; hint: make another server")
	}
	defer s.unbind()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	var wg sync.WaitGroup
	broken := make(chan error, 1) // the first reason to stop other than ctx
	run := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				select {
				case broken <- err:
				default:
				}
				stop()
			}
		})
	}
	conf := s.tlsConfig()
	if s.plain != nil {
		run(func() error { return s.serve(ctx, slowListener{s.plain, &s.faults}) })
	}
	if s.secure != nil {
		run(func() error { return s.serve(ctx, tls.NewListener(slowListener{s.secure, &s.faults}, conf)) })
	}
	run(func() error { return s.runTURN(ctx, conf) })
	run(func() error { s.keepHouse(ctx); return nil })
	run(func() error { return s.channels.keep(ctx, s.opts.StateFile, s.opts.Log) })
	s.opts.Log.Info("localkvs is up", "http", s.URL(), "https", s.TLSURL(), "ca", s.CAFile(), "turn", s.turn.uris())

	<-ctx.Done()
	wg.Wait()
	s.end()
	select {
	case err := <-broken:
		return fmt.Errorf("localkvs: %w", err)
	default:
		return nil
	}
}

func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ran {
		return false
	}
	s.ran = true
	return true
}

// enter registers a WebSocket connection, which Run waits for. Its owner calls s.sockets.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.sockets.Add(1)
	return true
}

// end waits for the last WebSocket connection.
func (s *Server) end() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.sockets.Wait()
}

// serve answers HTTP on one listener until ctx is done.
func (s *Server) serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handle(ctx, w, r) }),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // WebSockets set their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { <-ctx.Done(); closeServer(srv) })
	err := srv.Serve(l)
	stop()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// closeServer gives calls in progress a moment to finish, then cuts them off.
func closeServer(srv *http.Server) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	if srv.Shutdown(ctx) != nil {
		srv.Close()
	}
}

// keepHouse drops expired messages, so that an idle channel holds no memory.
func (s *Server) keepHouse(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, c := range s.channels.all() {
				c.purge(s.now())
			}
		}
	}
}
