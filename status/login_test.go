package status_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/crypto/bcrypt"
)

func anna(t *testing.T) map[string]string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"anna": string(hash)}
}

// TestLogin: with users nobody else sees anything but that the process is alive.
func TestLogin(t *testing.T) {
	h := status.Handler(status.Options{Report: house, Users: anna(t)})
	for _, tt := range []struct {
		path, user, password string
		want                 int
	}{
		{"/", "", "", 401}, {"/api/v1/report", "", "", 401}, {"/metrics", "", "", 401}, {"/readyz", "", "", 401},
		{"/healthz", "", "", 200}, {"/api/v1/report", "anna", "sesame", 200}, {"/", "anna", "sesame", 200},
		{"/", "anna", "wrong", 401}, {"/", "bert", "sesame", 401}, {"/", "anna", "", 401},
		{"/api/v1/sources/gate/snapshot.jpg", "", "", 401},
	} {
		for i := range 2 { // the second time from memory
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+tt.path, nil)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", 1+i) // too few wrong ones to wait
			if tt.user != "" {
				r.SetBasicAuth(tt.user, tt.password)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s as %q with %q = %d, want %d", tt.path, tt.user, tt.password, w.Code, tt.want)
			}
			if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s: a browser does not learn how to log in", tt.path)
			}
		}
	}
}

// TestMetricsOnly: an address for monitoring shows no picture and changes nothing.
func TestMetricsOnly(t *testing.T) {
	h := status.Handler(status.Options{Report: house, MetricsOnly: true})
	for path, want := range map[string]int{
		"/metrics": 200, "/healthz": 200, "/readyz": 503, "/": 404, "/api/v1/report": 404, "/app.js": 404,
		"/api/v1/sources/gate/snapshot.jpg": 404, "/api/v1/channels/gate/watch": 404, "/debug/pprof/": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+path, nil))
		if w.Code != want {
			t.Errorf("%s = %d, want %d", path, w.Code, want)
		}
	}
}

// served runs a server for the length of a test.
func served(t *testing.T, addr string, o status.Options) *status.Server {
	t.Helper()
	s, err := status.Listen(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestHTTPS: the page comes over TLS, and with the next certificate after a reload.
func TestHTTPS(t *testing.T) {
	first, second := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	first.StartTLS()
	second.StartTLS()
	pair := first.TLS.Certificates[0]
	pool := x509.NewCertPool()
	pool.AddCert(first.Certificate())
	first.Close()
	second.Close()
	s := served(t, "127.0.0.1:0", status.Options{Report: house, Certificate: &pair})
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Fatal(s.URL())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 2 {
		r, err := client.Get(s.URL() + "healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		transport.CloseIdleConnections()
		renewed := second.TLS.Certificates[0]
		s.Set(status.Options{Report: house, Certificate: &renewed})
	}
}

// TestUnixSocket: its owner and group may use it, and a socket that a process has left is no obstacle.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if _, err := status.Listen("unix:"+path, status.Options{}); err == nil {
		t.Fatal("a socket that is in use was taken over")
	}
	_ = left.Close()
	served(t, "unix:"+path, status.Options{Report: house})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get("http://localhost/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 {
		t.Error(r.Status)
	}
}

// TestIdleConnections: who holds connections open, with a word or without, keeps nobody out.
func TestIdleConnections(t *testing.T) {
	s := served(t, "127.0.0.1:0", status.Options{Report: house})
	addr := strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/")
	for i := range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for range 5 {
		r, err := client.Get(s.URL() + "healthz")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
}

// TestHealthBesideRequests: all places are taken by requests that are at work, and who asks for health gets an answer.
func TestHealthBesideRequests(t *testing.T) {
	hold := make(chan struct{})
	working := make(chan struct{}, 1000)
	s := served(t, "127.0.0.1:0", status.Options{Report: func() status.Report {
		working <- struct{}{}
		<-hold
		return house()
	}})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	codes := make(chan int, 128)
	ask := func() int {
		r, err := client.Get(s.URL() + "api/v1/report")
		if err != nil {
			return 0
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	for range cap(codes) {
		go func() { codes <- ask() }()
		<-working
	}
	for range 50 {
		if code := ask(); code != 503 {
			t.Fatalf("one request too many: %d, want 503", code)
		}
	}
	r, err := client.Get(s.URL() + "healthz")
	if err != nil || r.StatusCode != 200 {
		t.Errorf("health: %v, %v", r, err)
	} else {
		_ = r.Body.Close()
	}
	close(hold)
	for range cap(codes) {
		if code := <-codes; code != 200 {
			t.Fatalf("a request that had a place: %d, want 200", code)
		}
	}
}

// TestFaultOfAHandler: a request that panics is answered, counted and logged, and the next one comes through.
func TestFaultOfAHandler(t *testing.T) {
	var log strings.Builder
	var fail atomic.Bool
	s := served(t, "127.0.0.1:0", status.Options{
		Report: func() status.Report {
			if fail.Load() {
				panic("injected")
			}
			return house()
		},
		Snapshot: func(context.Context, string, string) (status.Snapshot, error) { panic("injected") },
		Watch: func(_ context.Context, _, _ string, send func(status.Signal) error) error {
			_ = send(status.Signal{Type: "answer", SDP: "v=0"})
			panic("injected")
		},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	name := house().Sources[0].Name
	for path, bad := range map[string]bool{
		"api/v1/report": true, "metrics": true, "readyz": true, "api/v1/sources/" + name + "/snapshot.jpg": false,
	} {
		before := fault.Panics()
		fail.Store(bad)
		r, err := client.Get(s.URL() + path)
		fail.Store(false)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		_ = r.Body.Close()
		if r.StatusCode != 500 || fault.Panics() != before+1 {
			t.Errorf("%s: %s and %d panics counted, want 500 and one", path, r.Status, fault.Panics()-before)
		}
	}
	before := fault.Panics()
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.URL()+"api/v1/channels/"+house().Channels[0].Name+"/watch", strings.NewReader(`{"sdp": "v=0"}`))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Origin", strings.TrimSuffix(s.URL(), "/"))
	ask.Header.Set("Content-Type", "application/json")
	r, err := client.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err == nil || fault.Panics() != before+1 {
		t.Errorf("a stream that breaks off: %v and %d panics counted, want an error and one", err,
			fault.Panics()-before)
	}
	if r, err := client.Get(s.URL() + "api/v1/report"); err != nil || r.StatusCode != 200 {
		t.Errorf("the next request: %v, %v", r, err)
	} else {
		_ = r.Body.Close()
	}
	if n := strings.Count(log.String(), "a fault was contained"); n != 5 {
		t.Errorf("the log has %d faults, want 5: %s", n, log.String())
	}
}
