package status_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

func TestHost(t *testing.T) {
	h := status.Handler(status.Options{Hosts: []string{"Gate.example.org", "192.0.2.7"}})
	for _, tt := range []struct {
		host string
		want int
	}{
		{"127.0.0.1", 200},
		{"127.0.0.1:9780", 200},
		{"127.8.9.10:1", 200},
		{"localhost", 200},
		{"LocalHost.:9780", 200},
		{"kvsagent.localhost:9780", 200},
		{"[::1]:9780", 200},
		{"[::1]", 200},
		{"[::ffff:127.0.0.1]:9780", 200},
		{"gate.example.org", 200},
		{"GATE.example.org:8443", 200},
		{"192.0.2.7:9780", 200},
		{"", 421},
		{":9780", 421},
		{"evil.example", 421},
		{"evil.example:9780", 421},
		{"localhost.evil.example", 421},
		{"127.0.0.1.evil.example:9780", 421},
		{"notgate.example.org", 421},
		{"192.0.2.8", 200},
		{"0.0.0.0:9780", 421},
		{"[::]:9780", 421},
		{"[fe80::1]:9780", 200},
		{"127.0.0.1:9780:9780", 421},
	} {
		t.Run(tt.host, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/report", nil)
			r.Host = tt.host
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("GET with Host %q = %d, want %d", tt.host, w.Code, tt.want)
			}
			if w.Code == 421 && !strings.Contains(w.Body.String(), "host name") {
				t.Errorf("the refusal does not say why: %s", w.Body)
			}
		})
	}
}

func TestPost(t *testing.T) {
	const url = "/api/v1/channels/front-gate/watch"
	h := status.Handler(status.Options{Report: house, Watch: answering})
	for _, tt := range []struct {
		name, method string
		header       map[string]string
		want         int
	}{
		{"browser", "POST", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9780"}, 200},
		{"browser without fetch metadata", "POST", map[string]string{"Origin": "http://127.0.0.1:9780"}, 200},
		{"behind TLS", "POST", map[string]string{"Origin": "https://127.0.0.1:9780"}, 200},
		{"charset", "POST", map[string]string{"Sec-Fetch-Site": "same-origin",
			"Content-Type": "application/json; charset=utf-8"}, 200},
		{"other site", "POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}, 403},
		{"other site that lies about its origin", "POST",
			map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:9780"}, 403},
		{"other port", "POST", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
			403},
		{"other port without fetch metadata", "POST", map[string]string{"Origin": "http://127.0.0.1:3000"}, 403},
		{"typed into the address bar", "POST", map[string]string{"Sec-Fetch-Site": "none"}, 403},
		{"opaque origin", "POST", map[string]string{"Origin": "null"}, 403},
		{"odd origin", "POST", map[string]string{"Origin": "file://127.0.0.1:9780"}, 403},
		{"no origin", "POST", nil, 403},
		{"form", "POST", map[string]string{"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415},
		{"no type", "POST", map[string]string{"Sec-Fetch-Site": "same-origin", "Content-Type": ""}, 415},
		{"put", "PUT", map[string]string{"Sec-Fetch-Site": "same-origin"}, 405},
		{"options", "OPTIONS", map[string]string{"Origin": "http://evil.example"}, 405},
		{"get", "GET", nil, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), tt.method, url, strings.NewReader(offer))
			r.Host = "127.0.0.1:9780"
			r.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s = %d %s, want %d", tt.method, w.Code, w.Body, tt.want)
			}
			if got := w.Header().Values("Access-Control-Allow-Origin"); len(got) > 0 {
				t.Errorf("Access-Control-Allow-Origin: %q, want none", got)
			}
		})
	}
}
