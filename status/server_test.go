package status_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

func TestListen(t *testing.T) {
	s, err := status.Listen(":0", status.Options{Report: house})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") || !strings.HasSuffix(s.URL(), "/") {
		t.Errorf("URL of an address without host = %q, want loopback", s.URL())
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusOK {
		t.Errorf("GET /healthz = %d, want 200", w.StatusCode)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil after a stop", err)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ name, addr, want string }{
		{"no port", "127.0.0.1", "hint: write it as 127.0.0.1:9780"},
		{"taken", taken.Addr().String(), "hint: another program may hold the port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := status.Listen(tt.addr, status.Options{}); err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen(%q) = %v, want %q", tt.addr, err, tt.want)
			}
		})
	}
}

// pipes is a network without sockets: it lets a server run in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func() // once
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9780} }

// client reaches the listener of p.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		ours, theirs := net.Pipe()
		select {
		case p.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

// watching runs a server with one open watch stream in the bubble, whose first line has been read.
func watching(t *testing.T, watch watchFunc) (lines *bufio.Reader, stop func() error) {
	t.Helper()
	network := newPipes()
	s := status.NewServer(network, status.Options{Report: house, Watch: watch})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	client := network.client()
	t.Cleanup(client.CloseIdleConnections)
	w, err := client.Do(watchRequest(context.WithoutCancel(t.Context()), t, strings.TrimSuffix(s.URL(), "/"),
		"front-gate", offer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Body.Close() })
	lines = bufio.NewReader(w.Body)
	if line, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("first line %q, %v", line, err)
	}
	return lines, func() error {
		cancel()
		return <-done
	}
}

// A page may watch for days; the server's timeouts are for requests.
func TestWatchOutlivesTheTimeoutsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, stop := watching(t, func(ctx context.Context, _, _ string, send func(status.Signal) error) error {
			for {
				if err := send(status.Signal{Type: "candidate"}); err != nil {
					return err
				}
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		for range 3 {
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "candidate") {
				t.Fatalf("an hour later: %q, %v", line, err)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestStopEndsOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, stop := watching(t, func(ctx context.Context, _, _ string, send func(status.Signal) error) error {
			if err := send(status.Signal{Type: "answer", SDP: "v=0"}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
		rest := make(chan string, 1)
		go func() {
			raw, _ := io.ReadAll(lines)
			rest <- string(raw)
		}()
		start := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Run took %v to stop, want at most 1s", took)
		}
		if got, want := <-rest, `{"type":"error","error":"the agent is stopping"}`; strings.TrimSpace(got) != want {
			t.Errorf("the page was told %q, want %q", got, want)
		}
	})
}

func TestStopDoesNotWaitForAStubbornStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		_, stop := watching(t, func(_ context.Context, _, _ string, send func(status.Signal) error) error {
			err := send(status.Signal{Type: "answer", SDP: "v=0"})
			<-release
			return err
		})
		start := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Run took %v to stop, want at most 1s", took)
		}
	})
}

func TestRunReportsALostListener(t *testing.T) {
	network := newPipes()
	s := status.NewServer(network, status.Options{})
	_ = network.Close()
	err := s.Run(t.Context())
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run on a closed listener = %v, want %v", err, net.ErrClosed)
	}
}
