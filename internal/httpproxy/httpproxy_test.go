package httpproxy_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/internal/httpproxy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// proxy accepts the user user with the password secret.
func proxy(t *testing.T, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if user, password, _ := r.BasicAuth(); r.Method != http.MethodConnect || user != "user" ||
			password != "secret" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer far.Close()
		near, rest, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer near.Close()
		_, _ = io.WriteString(near, "HTTP/1.1 200 there you are\r\nVia: test\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(near, far)
			near.Close()
		}()
		_, _ = io.Copy(far, rest)
		far.Close()
		<-done
	}))
	start(s)
	t.Cleanup(s.Close)
	return s
}

// echo is a server that returns a line.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, line)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestDial(t *testing.T) {
	addr := echo(t)
	for _, tt := range []struct {
		name  string
		start func(*httptest.Server)
	}{
		{"http", (*httptest.Server).Start},
		{"https", (*httptest.Server).StartTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := proxy(t, tt.start)
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword("user", "secret")
			roots := x509.NewCertPool()
			if c := s.Certificate(); c != nil {
				roots.AddCert(c)
			}
			conn, err := httpproxy.Dial(t.Context(), u, roots, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "hello\n")
			if got, err := io.ReadAll(conn); string(got) != "hello\n" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	s := proxy(t, (*httptest.Server).Start)
	addr := echo(t)
	early, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for _, reply := range []string{
			"HTTP/1.1 200 OK\r\n\r\nan eager server", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10) +
				"\r\n\r\n", "SSH-2.0-nothing\r\n",
		} {
			c, err := early.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, reply)
			c.Close()
		}
	}()
	t.Cleanup(func() { early.Close(); <-served })
	odd := "http://" + early.Addr().String()
	for _, tt := range []struct{ name, proxy, addr, want string }{
		{"password", strings.Replace(s.URL, "://", "://user:wrong@", 1), addr, "user:xxxxx@"},
		{"refused", s.URL, addr, "connect " + addr + ": 407 Proxy Authentication Required"},
		{"no way on", strings.Replace(s.URL, "://", "://user:secret@", 1), "127.0.0.1:1", "502 Bad Gateway"},
		{"no such kind", "socks5://127.0.0.1:1080", addr, `scheme "socks5"; hint: only http`},
		{"eager", odd, addr, "speaks before it is spoken to"},
		{"endless", odd, addr, "unexpected EOF"},
		{"not http", odd, addr, "malformed HTTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.proxy)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := httpproxy.Dial(t.Context(), u, nil, tt.addr)
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("error %q, want %q in it and no password", err, tt.want)
			}
		})
	}
}

// TestDialCancelled: a silent proxy does not block a cancelled dial.
func TestDialCancelled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = bufio.NewReader(c).ReadString('\n')
		cancel()
		_, _ = io.Copy(io.Discard, c) // until the other side gives up
	}()
	_, err = httpproxy.Dial(ctx, &url.URL{Scheme: "http", Host: l.Addr().String()}, nil, "192.0.2.1:443")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	<-done
}
