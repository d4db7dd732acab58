package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// codeOf asks a page for a path, with a login unless the user is "".
func codeOf(t *testing.T, client *http.Client, url, user, password string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestHash: what the command prints lets its password in, and no other.
func TestHash(t *testing.T) {
	hash := func(input string) (string, error) {
		var out strings.Builder
		c := command()
		c.SetIn(strings.NewReader(input))
		c.SetOut(&out)
		c.SetArgs([]string{"hash"})
		err := c.ExecuteContext(t.Context())
		return strings.TrimSuffix(out.String(), "\n"), err
	}
	for _, input := range []string{"open sesame\n", "open sesame\r\n", "open sesame"} {
		got, err := hash(input)
		if err != nil {
			t.Fatalf("%q: %v", input, err)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(got), []byte("open sesame")); err != nil {
			t.Errorf("%q: %v", input, err)
		}
	}
	for input, want := range map[string]string{"": "no password", "\n": "no password",
		strings.Repeat("x", 73) + "\n": "72 bytes"} {
		if got, err := hash(input); err == nil || !strings.Contains(err.Error(), want) || got != "" {
			t.Errorf("%.5q: %q, %v; want %q", input, got, err, want)
		}
	}
	got, err := hash("open sesame\n")
	if err != nil {
		t.Fatal(err)
	}
	page := freeAddress(t)
	startRunning(t, fmt.Sprintf("status: {listen: %q, users: {anna: %q}}\n", page, got))
	for password, want := range map[string]int{"open sesame": 200, "open": 401} {
		if code := codeOf(t, http.DefaultClient, "http://"+page+"/api/v1/report", "anna", password); code != want {
			t.Errorf("with %q: %d, want %d", password, code, want)
		}
	}
}

// TestMetricsListener: monitoring has an address of its own, without a login and without pictures, which a reload
// moves, makes a socket, and closes. One that cannot be opened changes nothing.
func TestMetricsListener(t *testing.T) {
	page, first, second := freeAddress(t), freeAddress(t), freeAddress(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	with := func(metrics string) string {
		return fmt.Sprintf("status: {listen: %q, users: {anna: %q}%s}\n", page, hash, metrics)
	}
	r := startRunning(t, with(", metrics_listen: \""+first+"\""))
	reload := func(metrics string) error {
		r.write(with(metrics))
		return askReloadAs(t.Context(), "http://"+page, "anna", "sesame")
	}
	see := func(at string) {
		t.Helper()
		url, client, err := dialPage(at)
		if err != nil {
			t.Fatal(err)
		}
		defer client.CloseIdleConnections()
		for path, want := range map[string]int{"metrics": 200, "healthz": 200, "": 404, "api/v1/report": 404,
			"api/v1/sources/pattern/snapshot.jpg": 404, "debug/pprof/": 404} {
			if code := codeOf(t, client, url.JoinPath(path).String(), "", ""); code != want {
				t.Errorf("%s/%s: %d, want %d", at, path, code, want)
			}
		}
		if code := codeOf(t, http.DefaultClient, "http://"+page+"/metrics", "", ""); code != 401 {
			t.Errorf("the page itself: %d, want 401", code)
		}
	}
	closed := func(addr string) {
		t.Helper()
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			_ = c.Close()
			if time.Now().After(until) {
				t.Fatalf("somebody still listens at %s", addr)
			}
		}
	}
	see("http://" + first)
	if err := reload(", metrics_listen: \"" + second + "\""); err != nil {
		t.Fatal(err)
	}
	see("http://" + second)
	closed(first)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := reload(", metrics_listen: \"" + taken.Addr().String() + "\""); err == nil {
		t.Error("a port that another program holds was taken")
	}
	see("http://" + second)
	if err := reload(", metrics_listen: \"unix:metrics.sock\""); err != nil { // beside the config
		t.Fatal(err)
	}
	see("unix:" + filepath.Join(filepath.Dir(r.path), "metrics.sock"))
	closed(second)
	if err := reload(""); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(filepath.Join(filepath.Dir(r.path), "metrics.sock"))
		if os.IsNotExist(err) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the socket is still there: %v", err)
		}
	}
}
