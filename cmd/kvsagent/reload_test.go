package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/sys/unix"
)

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is an agent that runs by a file.
type running struct {
	t    *testing.T
	path string
	kvs  string
	log  *logbook
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *running) write(more string) {
	r.t.Helper()
	text := "aws: {endpoint: \"" + r.kvs + "\", " +
		"credentials: {access_key_id: localkvs, secret_access_key: localkvs}}\n" +
		"sources: {pattern: {url: \"testpattern:?size=320x240&rate=15\"}}\n" +
		"channels: {gate: {source: pattern, create: true}}\n" + more
	if err := os.WriteFile(r.path+".new", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.path+".new", r.path); err != nil { // a reload under way reads one or the other
		r.t.Fatal(err)
	}
}

func startRunning(t *testing.T, more string) *running {
	t.Helper()
	kvs, err := localkvs.New(localkvs.Options{Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, path: filepath.Join(t.TempDir(), "kvsagent.yaml"), kvs: kvs.URL(), log: &logbook{}}
	r.write(more)
	cfg, hash, err := loadHash(r.path)
	if err != nil {
		t.Fatal(err)
	}
	out := newAsyncLog(r.log)
	log, set := newLog(out, cfg.Log, false)
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { _ = kvs.Run(ctx) })
	work.Go(func() {
		if err := serve(ctx, daemonOptions{cfg: cfg, hash: hash, path: r.path, log: log, set: set,
			started: func(string) { close(started) }}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); work.Wait(); out.Close() })
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		t.Fatal("the agent does not start")
	}
	return r
}

func report(t *testing.T, page string) (out status.Report) {
	t.Helper()
	resp, err := http.Get("http://" + page + "/api/v1/report")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return out
}

// TestReloadMovesPageAndLog: what the agent itself does not own is changed in place, too.
func TestReloadMovesPageAndLog(t *testing.T) {
	first, second := freeAddress(t), freeAddress(t)
	r := startRunning(t, "status: {listen: \""+first+"\"}\nlog: {level: error}\n")
	before := report(t, first)
	if before.Reload == nil || !before.Reload.OK || len(before.Reload.Hash) != 64 {
		t.Fatalf("at the start the report has %+v", before.Reload)
	}
	r.write("status: {listen: \"" + second + "\"}\nlog: {level: info, format: json}\n")
	if err := askReload(t.Context(), "http://"+first); err != nil {
		t.Fatal(err)
	}
	after := report(t, second)
	if !after.Reload.OK || after.Reload.Hash == before.Reload.Hash {
		t.Errorf("%+v became %+v", before.Reload, after.Reload)
	}
	if _, err := net.DialTimeout("tcp", first, time.Second); err == nil {
		t.Error("the page answers at the old address as well")
	}
	if log := r.log.String(); !strings.Contains(log, `"msg":"the status page has moved"`) {
		t.Errorf("the log has neither the new level nor the new format:\n%s", log)
	}
	r.write("status: {listen: \"" + second + "\", hosts: [gate.example.org]}\n")
	if err := askReload(t.Context(), "http://"+second); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+second+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "gate.example.org"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the new host name gets %s", resp.Status)
	}
}

// TestReloadThatFails: nothing changes, and everybody who asks is told so.
func TestReloadThatFails(t *testing.T) {
	page := freeAddress(t)
	good := "status: {listen: \"" + page + "\"}\n"
	r := startRunning(t, good)
	before := report(t, page)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tt := range []struct{ name, more, want string }{
		{"a mistake", "nonsense: 1\n" + good, "nonsense"},
		{"a page on a taken port", "status: {listen: \"" + busy.Addr().String() + "\"}\n", "address already in use"},
	} {
		r.write(tt.more)
		if err := askReload(t.Context(), "http://"+page); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		got := report(t, page).Reload
		if got.OK || !strings.Contains(got.Error, tt.want) || got.Hash != before.Reload.Hash ||
			!got.Success.Equal(before.Reload.Success) {
			t.Errorf("%s: the report has %+v", tt.name, got)
		}
	}
	if line := summary(report(t, page)); !strings.Contains(line, "reload at") || !strings.Contains(line, "failed") {
		t.Errorf("STATUS=%s", line)
	}
}

// TestConfigThatIsAPipe: nobody writes to it, and the agent ends all the same when it is told to.
func TestConfigThatIsAPipe(t *testing.T) {
	page := freeAddress(t)
	r := startRunning(t, "status: {listen: \""+page+"\"}\n")
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(r.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := askReload(t.Context(), "http://"+page); err == nil {
		t.Error("an empty pipe was taken for a config")
	}
	if got := report(t, page).Reload; got.OK {
		t.Errorf("the report has %+v", got)
	}
}

// TestEndWhileAConfigIsRead: the agent that waits for its config ends when it is told to.
func TestEndWhileAConfigIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvsagent.yaml")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0) // somebody who writes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	c := command()
	c.SetArgs([]string{"run", "-c", path})
	go func() { ended <- c.ExecuteContext(ctx) }()
	time.AfterFunc(100*time.Millisecond, cancel) // whether it reads by then or not
	began := time.Now()
	select {
	case err := <-ended:
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 2*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	case <-time.After(20 * time.Second):
		t.Error("the agent waits for its config, and does not end")
	}
}

// TestReloadStorm: many ask at once, by signal and over the page. All are answered, one after the other, and the agent
// runs by what was written last.
func TestReloadStorm(t *testing.T) {
	page := freeAddress(t)
	good := "status: {listen: \"" + page + "\"}\n"
	r := startRunning(t, good)
	if err := askReload(t.Context(), "http://"+page); err != nil { // whoever hears SIGHUP is there
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for i := range 20 {
		r.write(good + fmt.Sprintf("limits: {max_pending: %d}\n", i+1))
		if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		work.Go(func() {
			if err := askReload(t.Context(), "http://"+page); err != nil {
				t.Error(err)
			}
		})
	}
	r.write(good + "limits: {max_pending: 21}\n")
	if err := askReload(t.Context(), "http://"+page); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	_, hash, err := loadHash(r.path)
	if got := report(t, page).Reload; err != nil || !got.OK || got.Hash != hash {
		t.Errorf("%v: the agent runs by %+v, want %s", err, got, hash)
	}
	if line := summary(report(t, page)); !strings.Contains(line, "config "+hash[:12]+" since ") {
		t.Errorf("STATUS=%s", line)
	}
}
