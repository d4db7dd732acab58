package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/redact"
)

// TestSecretsStayInside plants passwords wherever a config can hold one, breaks every source, and looks for them in all
// that comes out.
func TestSecretsStayInside(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) { secretsStayInside(t, format) })
	}
}

func secretsStayInside(t *testing.T, format string) {
	t.Setenv("HTTPS_PROXY", "http://user:sesame-proxy@127.0.0.1:1")
	page := freeAddress(t)
	r := startRunning(t, "status: {listen: \""+page+"\"}\n")
	sources := []string{
		"url: 'rtsp://admin:sesame1@127.0.0.1:1/live'", "url: 'rtsp://admin:sesame%402@127.0.0.1:1/live'",
		"url: 'rtsp://127.0.0.1:1/live?user=admin&password=sesame3&x=1'",
		"url: 'rtsp://127.0.0.1:1/live?pwd=sesame4'",
		"url: 'rtsp://127.0.0.1:1/user=admin_password=sesame5_channel=1_stream=0.sdp'",
		"url: 'rtsp://127.0.0.1:1/a?token=sesame6'",
		"url: rtsp://admin:it's-sesame@127.0.0.1:1/live",
		`url: "exec:sh -c 'echo cannot open rtsp://admin:sesame7@127.0.0.1/ >&2; exit 1'"`,
		`url: "exec:sh -c 'echo the password is sesame8 >&2; exit 1' rtsp://admin:sesame8@127.0.0.1/"`,
		"url: 'exec:/does/not/exist --password=sesame9'",
		"url: 'rtp:/does/not/exist?password=sesame10'", "url: 'file:/does/not/exist.mp4?token=sesame11'",
		"url: 'rtsp://127.0.0.1:1/', username: admin, password: 'a\"sesame13\\x'",
		"url: 'rtsp://127.0.0.1:1/', sub: 'rtsp://127.0.0.1:1/?pwd=sesame14', " +
			"onvif: 'http://127.0.0.1:1/?token=sesame15'",
		"url: 'rtsp://127.0.0.1:1/', sub: 'rtsp://admin:sesame24@127.0.0.1:1/', " +
			"onvif: 'http://a:sesame25@127.0.0.1:1/'",
		`url: "exec:sh -c 'echo \"$*\" >&2; exit 1' sh", args: ['-i', "rtsp://admin:it's sesame16@127.0.0.1/x"]`,
		`url: "exec:sh -c 'echo \"$*\" >&2; exit 1' sh", args: [--password, 'a"sesame17\\n', -u, 'me:sesame18']`,
		`url: "exec:sh -c 'echo \"$* bad\" >&2; exit 1' sh --token='a\"b sesame19'"`,
		`url: "exec:sh -c 'echo no login with \"$CAM_PASSWORD at $CAM\" >&2; exit 1'", ` +
			`env: {CAM_PASSWORD: "a'b\"sesame20", CAM: "rtsp://admin:pa/ss-sesame21@127.0.0.1/"}`,
		`url: "exec:sh -c 'curl --version; echo open door-sesame22 >&2; exit 1 # user-pw=door-sesame22'"`,
	}
	text := "aws: {endpoint: \"" + r.kvs + "\", " +
		"credentials: {access_key_id: localkvs, secret_access_key: sesame12}}\n" +
		"webrtc: {proxy: \"http://user:sesame23@127.0.0.1:1\"}\nsources:\n"
	channels, running := "", 0
	for i, s := range sources {
		if strings.Contains(s, "'rtp:") || strings.Contains(s, "'file:") || strings.Contains(s, "sesame24") {
			continue // validate refuses them: checked below
		}
		running++
		text += fmt.Sprintf("  s%d: {%s, keep_warm: true}\n", i, s)
		channels += fmt.Sprintf("  c%d: {source: s%d, create: true}\n", i, i)
	}
	text += "channels:\n" + channels + "status: {listen: \"" + page + "\"}\n" +
		"log: {level: debug, format: " + format + "}\n"
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
		if failed == running {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("only %d of %d sources have failed", failed, running)
		}
	}
	out := r.log.String()
	for _, path := range []string{"/api/v1/report", "/metrics", "/readyz", "/", "/app.js"} {
		out += get(t, page, path)
	}
	if format == "text" { // each waits for a picture
		out += snapshots(t, page, len(sources))
	}
	out += summary(report(t, page))
	for _, mistake := range []string{"linger: no", "audio: loud", "privacy_file: /does/not/exist/x", "username: x"} {
		for _, s := range sources { // what cannot run is named with its line
			bad := strings.Replace(text, "sources:\n", fmt.Sprintf("sources:\n  bad: {%s, %s}\n", s, mistake), 1)
			if err := os.WriteFile(r.path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := load(r.path); err != nil {
				out += explain(err)
			}
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
	if !strings.Contains(out, redact.Blank) {
		t.Error("nothing had to be hidden")
	}
}

// TestSecretsOfCommandsStayInside: commands for people tell no password, neither in what they say nor in what they log.
func TestSecretsOfCommandsStayInside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kvsagent.yaml")
	text := `
aws: {region: eu-central-1, endpoint: "http://127.0.0.1:1", credentials: {access_key_id: a, secret_access_key: b}}
sources:
  tells: {url: "exec:sh -c 'echo no door for it\\"s-sesame1 and rtsp://a:sesame2@127.0.0.1/ >&2; exit 1'",
    password: 'it"s-sesame1'}
  login: {url: "rtsp://admin:it's-sesame3@127.0.0.1:1/?token=sesame4"}
channels: {gate: {source: tells}}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"sources", "probe", "tells", "-c", path, "--log-level", "debug"},
		{"sources", "probe", "tells", "-c", path, "--log-level", "debug", "-o", "json"},
		{"sources", "probe", "login", "-c", path, "--log-level", "debug"},
		{"sources", "probe", "rtsp://admin:it's-sesame5@127.0.0.1:1/?password=sesame6", "--log-level", "debug"},
		{"sources", "probe", "rtsp://admin:sesame7@:no/?password=sesame8"},
		{"sources", "probe", "pigeon://admin:sesame9@127.0.0.1/?password=sesame10"},
		{"sources", "probe", "exec:sh -c 'echo rtsp://a:sesame11@127.0.0.1/ >&2; exit 1'", "--log-level", "debug"},
		{"validate", "http://admin:sesame12@127.0.0.1/"},
		{"view", "gate", "-c", path, "--endpoint", "http://admin:sesame13@127.0.0.1:1", "--duration", "1ms",
			"--log-level", "debug"},
		{"validate", "-c", path},
	} {
		var out strings.Builder
		c := command()
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs(args)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := c.ExecuteContext(ctx); err != nil {
			out.WriteString(explain(err))
		}
		cancel()
		if strings.Contains(out.String(), "sesame") || out.Len() == 0 {
			t.Errorf("%s says %s", strings.Join(args, " "), out.String())
		}
	}
}

func snapshots(t *testing.T, page string, sources int) string {
	t.Helper()
	all := make([]string, sources)
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i] = get(t, page, fmt.Sprintf("/api/v1/sources/s%d/snapshot.jpg", i)) })
	}
	asking.Wait()
	return strings.Join(all, "\n")
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
