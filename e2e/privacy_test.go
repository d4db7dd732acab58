package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrivacyOverTheAPI: who watches sees that the camera is closed, and its picture again when it is opened, in one connection.
func TestPrivacyOverTheAPI(t *testing.T) {
	service := startService(t)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources:
  room: {url: "testpattern:", privacy_file: %q}
  hall: {url: "testpattern:"}
channels: {api: {source: room, create: true}}
`, filepath.Join(t.TempDir(), "private")))
	put := func(source, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, agent.statusURL+"/api/v1/sources/"+source+"/privacy", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", agent.statusURL)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("PUT %s for %s = %s, want %d", body, source, resp.Status, want)
		}
	}
	watcher := viewer(t, service, agent.connected(t, "api"), "browser-1")
	watcher.moves(20)
	put("room", `{"on": true}`, http.StatusNoContent)
	watcher.showsSlate(t, "#remote")
	if r, err := agent.report(); err != nil || !strings.HasPrefix(r.Sources[1].Privacy, "the file ") {
		t.Errorf("report: %v, %+v, want what closes the room", err, r.Sources)
	}
	put("room", `{"on": false}`, http.StatusNoContent)
	watcher.moves(20)
	watcher.sameConnection(t)
	put("hall", `{"on": true}`, http.StatusConflict)
}
