package status_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// get sends a request for a path, like a client on this machine.
func get(t *testing.T, o status.Options, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = "127.0.0.1:9780"
	status.Handler(o).ServeHTTP(w, r)
	return w
}

func TestReport(t *testing.T) {
	w := get(t, status.Options{Report: house}, "/api/v1/report")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("GET /api/v1/report = %d %q, want 200 application/json", w.Code, w.Header().Get("Content-Type"))
	}
	golden(t, "report.json", w.Body.Bytes())
}

func TestReportHasListsForReadersThatLoop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report status.Report
		want   []string
	}{
		{"empty", status.Report{}, []string{`"sources": []`, `"channels": []`}},
		{"new", status.Report{
			Sources:  []status.Source{{Name: "gate"}},
			Channels: []status.Channel{{Name: "front-gate"}},
		}, []string{`"tracks": []`, `"peers": []`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := get(t, status.Options{Report: func() status.Report { return tt.report }},
				"/api/v1/report").Body.String()
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("the report has no %s:\n%s", want, body)
				}
			}
		})
	}
}

func TestReportIsLeftAsItWas(t *testing.T) {
	sources := []status.Source{{Name: "gate"}}
	get(t, status.Options{Report: func() status.Report { return status.Report{Sources: sources} }}, "/api/v1/report")
	if sources[0].Tracks != nil {
		t.Error("the handler wrote into the report's own slices, which other requests share")
	}
}

func TestPage(t *testing.T) {
	for _, tt := range []struct{ path, kind string }{
		{"/", "text/html; charset=utf-8"},
		{"/style.css", "text/css; charset=utf-8"},
		{"/app.js", "text/javascript; charset=utf-8"},
		{"/watch.js", "text/javascript; charset=utf-8"},
		{"/format.js", "text/javascript; charset=utf-8"},
		{"/icon.svg", "image/svg+xml"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			w := get(t, status.Options{}, tt.path)
			if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != tt.kind || w.Body.Len() == 0 {
				t.Errorf("GET %s = %d %q with %d bytes, want 200 %q", tt.path, w.Code, got, w.Body.Len(), tt.kind)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'",
				"X-Content-Type-Options":  "nosniff",
				"X-Frame-Options":         "DENY",
				"Referrer-Policy":         "no-referrer",
			} {
				if got := w.Header().Get(name); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := w.Header().Values("Access-Control-Allow-Origin"); len(got) > 0 {
				t.Errorf("Access-Control-Allow-Origin: %q, want none", got)
			}
		})
	}
}

// The policy forbids inline scripts, styles and handlers, which the page would silently lose. The content of the report
// must not be parsed as markup.
func TestPageKeepsToItsPolicy(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	web := os.DirFS("web")
	names, err := fs.Glob(web, "*")
	if err != nil || len(names) == 0 {
		t.Fatalf("files of the page: %v, %v", names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(web, name)
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.Find(text); found != nil {
			t.Errorf("web/%s has %q", name, found)
		}
		if w := get(t, status.Options{}, "/"+strings.TrimSuffix(name, "index.html")); w.Body.String() != string(text) {
			t.Errorf("web/%s is embedded but not served (%d)", name, w.Code)
		}
	}
}

func TestUnknownPath(t *testing.T) {
	for _, path := range []string{"/web/", "/index.htm", "/api", "/.git/config", "/api/v1/channels/front-gate/watch"} {
		if w := get(t, status.Options{Report: house}, path); w.Code != http.StatusNotFound &&
			w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s = %d, want 404 or 405", path, w.Code)
		}
	}
}

func TestHealthz(t *testing.T) {
	down := func() status.Report { return status.Report{Channels: []status.Channel{{Name: "a", State: "waiting"}}} }
	if w := get(t, status.Options{Report: down}, "/healthz"); w.Code != http.StatusOK {
		t.Errorf("GET /healthz with a channel down = %d, want 200: the process is alive", w.Code)
	}
}

func TestReadyz(t *testing.T) {
	type channel struct {
		Channel string  `json:"channel"`
		State   string  `json:"state"`
		Reason  string  `json:"reason"`
		RetryIn float64 `json:"retry_in"`
	}
	up := status.Channel{Name: "up", State: "connected"}
	for _, tt := range []struct {
		name     string
		channels []status.Channel
		code     int
		want     []channel
	}{
		{"no channel", nil, 200, nil},
		{"connected", []status.Channel{up}, 200, nil},
		{
			"one of two", []status.Channel{up, {Name: "b", State: "waiting", Error: "no route to host", RetryIn: 3}},
			503, []channel{{"b", "waiting", "no route to host", 3}},
		},
		{
			"starting", []status.Channel{{Name: "b", State: "connecting"}},
			503, []channel{{"b", "connecting", "the first connection is still being made", 0}},
		},
		{
			"again", []status.Channel{{Name: "b", State: "connecting", Connects: 4},
				{Name: "c", State: "waiting", Error: "x"}},
			503, []channel{{"b", "connecting", "the connection is being made again", 0}, {"c", "waiting", "x", 0}},
		},
		{
			"displaced", []status.Channel{up, {Name: "b", State: "displaced", Error: "another master", RetryIn: 9}},
			503, []channel{{"b", "displaced", "another master", 9}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := get(t, status.Options{Report: func() status.Report { return status.Report{Channels: tt.channels} }},
				"/readyz")
			var got struct {
				Ready    bool      `json:"ready"`
				NotReady []channel `json:"not_ready"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if w.Code != tt.code || got.Ready != (tt.code == 200) || len(got.NotReady) != len(tt.want) {
				t.Fatalf("GET /readyz = %d %+v, want %d %+v", w.Code, got, tt.code, tt.want)
			}
			for i, c := range got.NotReady {
				if c != tt.want[i] {
					t.Errorf("not ready: %+v, want %+v", c, tt.want[i])
				}
			}
		})
	}
}
