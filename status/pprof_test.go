package status_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

func TestProfiles(t *testing.T) {
	for _, tt := range []struct {
		on     bool
		remote string
		want   int
	}{
		{true, "127.0.0.1:4711", http.StatusOK},
		{true, "[::1]:4711", http.StatusOK},
		{true, "192.0.2.7:4711", http.StatusForbidden},
		{true, "nonsense", http.StatusForbidden},
		{false, "127.0.0.1:4711", http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9780/debug/pprof/goroutine?debug=1", nil)
		r.RemoteAddr = tt.remote
		w := httptest.NewRecorder()
		status.Handler(status.Options{Pprof: tt.on}).ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("profile for %s, on %v = %d, want %d", tt.remote, tt.on, w.Code, tt.want)
		}
	}
}
