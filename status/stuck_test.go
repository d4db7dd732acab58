package status_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// TestReadyzNamesWhoIsStuck: a loop that is stuck may hold what the report needs, so readyz does not ask for that. A
// log that nobody reads is named, and viewers are served.
func TestReadyzNamesWhoIsStuck(t *testing.T) {
	for _, tt := range []struct {
		stuck status.Stuck
		code  int
	}{
		{status.Stuck{Loop: "channel gate", Seconds: 12, Fatal: true}, 503},
		{status.Stuck{Loop: "log", Seconds: 12}, 200},
	} {
		h := status.Handler(status.Options{
			Stuck: func() []status.Stuck { return []status.Stuck{tt.stuck} },
			Report: func() status.Report {
				if tt.stuck.Fatal {
					t.Error("the report was asked for")
				}
				return status.Report{}
			},
		})
		r := httptest.NewRequest("GET", "/readyz", nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var got struct{ Stuck []status.Stuck }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.code || len(got.Stuck) != 1 || got.Stuck[0] != tt.stuck {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
