package status_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

func TestSnapshot(t *testing.T) {
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, path, site string
		fail             error
		want             int
		kind, asked      string
	}{
		{"jpeg", "gate/snapshot.jpg", "", nil, 200, "image/jpeg", "gate jpg"},
		{"h264", "gate/snapshot.h264", "", nil, 200, "video/h264", "gate h264"},
		{"h265", "gate/snapshot.h265", "", nil, 200, "video/h265", "gate h265"},
		{"ivf", "gate/snapshot.ivf", "", nil, 200, "application/octet-stream", "gate ivf"},
		{"own page", "gate/snapshot.jpg", "same-origin", nil, 200, "image/jpeg", "gate jpg"},
		{"typed", "gate/snapshot.jpg", "none", nil, 200, "image/jpeg", "gate jpg"},
		{"other site", "gate/snapshot.jpg", "cross-site", nil, 403, "application/json", ""},
		{"neighbour", "gate/snapshot.jpg", "same-site", nil, 403, "application/json", ""},
		{"no such source", "tower/snapshot.jpg", "", nil, 404, "application/json", ""},
		{"no such format", "gate/snapshot.png", "", nil, 404, "text/plain; charset=utf-8", ""},
		{"another codec", "gate/snapshot.h265", "", &status.Problem{Status: 406, Text: "no"}, 406, "application/json",
			"gate h265"},
		{"broken", "gate/snapshot.jpg", "", errors.New("ffmpeg: exit status 1"), 502, "application/json", "gate jpg"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			h := status.Handler(status.Options{Report: house,
				Snapshot: func(_ context.Context, source, format string) (status.Snapshot, error) {
					asked = source + " " + format
					return status.Snapshot{Body: []byte("picture"), At: at}, tt.fail
				}})
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/sources/"+tt.path, nil)
			r.Host = "127.0.0.1:9780"
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			h.ServeHTTP(w, r)
			if w.Code != tt.want || w.Header().Get("Content-Type") != tt.kind || asked != tt.asked {
				t.Errorf("%d %s %s, asked %q; want %d %s, %q", w.Code, w.Header(), w.Body, asked, tt.want, tt.kind,
					tt.asked)
			}
			if tt.want == 200 && (w.Body.String() != "picture" ||
				w.Header().Get("Last-Modified") != "Wed, 25 Nov 2026 10:00:00 GMT" ||
				w.Header().Get("Cache-Control") != "no-store") {
				t.Errorf("%s %s", w.Header(), w.Body)
			}
		})
	}
	if w := get(t, status.Options{Report: house},
		"/api/v1/sources/gate/snapshot.jpg"); w.Code != http.StatusNotImplemented {
		t.Errorf("without Options.Snapshot: %d, want 501", w.Code)
	}
}
