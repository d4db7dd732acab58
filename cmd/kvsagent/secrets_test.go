package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSecretsStayInside plants passwords wherever the URL of a source can hold one, breaks every source, and looks for
// them in all that comes out.
func TestSecretsStayInside(t *testing.T) {
	page := freeAddress(t)
	r := startRunning(t, "status: {listen: \""+page+"\"}\n")
	urls := []string{
		"rtsp://admin:sesame1@127.0.0.1:1/live", "rtsp://admin:sesame%402@127.0.0.1:1/live",
		"rtsp://127.0.0.1:1/live?user=admin&password=sesame3&x=1", "rtsp://127.0.0.1:1/live?pwd=sesame4",
		"rtsp://127.0.0.1:1/user=admin_password=sesame5_channel=1_stream=0.sdp", "rtsp://127.0.0.1:1/a?token=sesame6",
		"exec:sh -c 'echo cannot open rtsp://admin:sesame7@127.0.0.1/ >&2; exit 1'",
		"exec:sh -c 'echo the password is sesame8 >&2; exit 1' rtsp://admin:sesame8@127.0.0.1/",
		"exec:/does/not/exist --password=sesame9",
		"rtp:/does/not/exist?password=sesame10", "file:/does/not/exist.mp4?token=sesame11",
	}
	text := "aws: {endpoint: \"" + r.kvs + "\", " +
		"credentials: {access_key_id: localkvs, secret_access_key: sesame12}}\nsources:\n"
	channels := ""
	for i, u := range urls {
		if strings.HasPrefix(u, "rtp:") || strings.HasPrefix(u, "file:") {
			continue // validate refuses them: checked below
		}
		text += fmt.Sprintf("  s%d: {url: %q, keep_warm: true}\n", i, u)
		channels += fmt.Sprintf("  c%d: {source: s%d, create: true}\n", i, i)
	}
	text += "  login: {url: \"rtsp://127.0.0.1:1/\", username: admin, password: sesame13, keep_warm: true}\n"
	text += "channels:\n" + channels + "status: {listen: \"" + page + "\"}\nlog: {level: debug}\n"
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := askReload(t.Context(), "http://"+page); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		failed := 0
		for _, s := range report(t, page).Sources {
			if s.Error != "" {
				failed++
			}
		}
		if failed >= 8 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("only %d sources have failed", failed)
		}
	}
	out := r.log.String()
	for _, path := range []string{"/api/v1/report", "/metrics", "/readyz", "/", "/app.js"} {
		out += get(t, page, path)
	}
	snapshots := make([]string, len(urls))
	var asking sync.WaitGroup
	for i := range urls {
		asking.Go(func() { snapshots[i] = get(t, page, fmt.Sprintf("/api/v1/sources/s%d/snapshot.jpg", i)) })
	}
	asking.Wait()
	out += strings.Join(snapshots, "\n")
	out += summary(report(t, page))
	for _, u := range urls { // what cannot run is named with its line
		bad := strings.Replace(text, "sources:\n", fmt.Sprintf("sources:\n  bad: {url: %q, linger: no}\n", u), 1)
		if err := os.WriteFile(r.path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(r.path); err != nil {
			out += explain(err)
		}
		if err := askReload(t.Context(), "http://"+page); err != nil {
			out += err.Error()
		}
	}
	out += get(t, page, "/api/v1/report") + r.log.String()
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "sesame") {
			t.Errorf("a password came out: %.300s", line)
		}
	}
}

func get(t *testing.T, page, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + page + path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
		return ""
	}
	return string(body)
}
