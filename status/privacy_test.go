package status_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// Only permitted requests set the privacy switch.
func TestPrivacy(t *testing.T) {
	own := map[string]string{"Sec-Fetch-Site": "same-origin"}
	for _, tt := range []struct {
		name, source, body string
		header             map[string]string
		fail               error
		want               int
		flipped            string
	}{
		{"on", "gate", `{"on": true}`, own, nil, 204, "gate on"},
		{"off", "gate", `{"on": false}`, own, nil, 204, "gate off"},
		{"curl", "gate", `{"on": true}`, map[string]string{"Origin": "http://127.0.0.1:9780"}, nil, 204, "gate on"},
		{"no such source", "tower", `{"on": true}`, own, nil, 404, ""},
		{"neither", "gate", `{}`, own, nil, 400, ""},
		{"no JSON", "gate", `on`, own, nil, 400, ""},
		{"long", "gate", `{"x": "` + strings.Repeat("x", 2000) + `", "on": true}`, own, nil, 400, ""},
		{"refused", "gate", `{"on": true}`, own, &status.Problem{Status: 409, Text: "no"}, 409, "gate on"},
		{"failed", "gate", `{"on": true}`, own, errors.New("disk full"), 502, "gate on"},
		{"other site", "gate", `{"on": false}`, map[string]string{"Sec-Fetch-Site": "cross-site"}, nil, 403, ""},
		{"no origin", "gate", `{"on": false}`, nil, nil, 403, ""},
		{"form", "gate", `{"on": false}`, map[string]string{"Sec-Fetch-Site": "same-origin",
			"Content-Type": "text/plain"}, nil, 415, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flipped := ""
			h := status.Handler(status.Options{Report: house, Privacy: func(source string, on bool) error {
				flipped = source + map[bool]string{true: " on", false: " off"}[on]
				return tt.fail
			}})
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), "PUT", "/api/v1/sources/"+tt.source+"/privacy",
				strings.NewReader(tt.body))
			r.Host = "127.0.0.1:9780"
			r.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			h.ServeHTTP(w, r)
			if w.Code != tt.want || flipped != tt.flipped {
				t.Errorf("%d %s, flipped %q; want %d, %q", w.Code, w.Body, flipped, tt.want, tt.flipped)
			}
		})
	}
}
