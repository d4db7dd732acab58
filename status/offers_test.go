package status_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// Only permitted requests make an offer.
func TestOffers(t *testing.T) {
	own := map[string]string{"Sec-Fetch-Site": "same-origin"}
	for _, tt := range []struct {
		name, channel, body string
		header              map[string]string
		fail                error
		want                int
		offered             string
	}{
		{"page", "front-gate", `{"client_id": "tablet"}`, own, nil, 202, "front-gate tablet"},
		{"curl", "front-gate", `{"client_id": "tablet"}`, map[string]string{"Origin": "http://127.0.0.1:9780"}, nil,
			202, "front-gate tablet"},
		{"no such channel", "attic", `{"client_id": "tablet"}`, own, nil, 404, ""},
		{"nobody", "front-gate", `{}`, own, nil, 400, ""},
		{"no JSON", "front-gate", `tablet`, own, nil, 400, ""},
		{"long", "front-gate", `{"x": "` + strings.Repeat("x", 2000) + `", "client_id": "tablet"}`, own, nil, 400, ""},
		{"busy", "front-gate", `{"client_id": "tablet"}`, own, &status.Problem{Status: 409, Text: "no"}, 409,
			"front-gate tablet"},
		{"failed", "front-gate", `{"client_id": "tablet"}`, own, errors.New("no way"), 502, "front-gate tablet"},
		{"other site", "front-gate", `{"client_id": "tablet"}`, map[string]string{"Sec-Fetch-Site": "cross-site"}, nil,
			403, ""},
		{"no origin", "front-gate", `{"client_id": "tablet"}`, nil, nil, 403, ""},
		{"other host", "front-gate", `{"client_id": "tablet"}`,
			map[string]string{"Sec-Fetch-Site": "same-origin", "Host": "evil.example"}, nil, 421, ""},
		{"form", "front-gate", `{"client_id": "tablet"}`,
			map[string]string{"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, nil, 415, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			offered := ""
			h := status.Handler(status.Options{Report: house,
				Offer: func(_ context.Context, channel, client string) error {
					offered = channel + " " + client
					return tt.fail
				}})
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/channels/"+tt.channel+"/offers",
				strings.NewReader(tt.body))
			r.Host = "127.0.0.1:9780"
			r.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				if k == "Host" {
					r.Host = v
				}
				r.Header.Set(k, v)
			}
			h.ServeHTTP(w, r)
			if w.Code != tt.want || offered != tt.offered {
				t.Errorf("%d %s, offered %q; want %d, %q", w.Code, w.Body, offered, tt.want, tt.offered)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/channels/front-gate/offers",
			strings.NewReader(`{"client_id": "tablet"}`))
		r.Host = "127.0.0.1:9780"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if status.Handler(status.Options{Report: house}).ServeHTTP(w, r); w.Code != 501 {
			t.Errorf("%d %s, want 501", w.Code, w.Body)
		}
	})
}
