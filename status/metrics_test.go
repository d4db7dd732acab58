package status_test

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/status"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// ours returns the agent's own lines of a scrape, without those of the Go runtime and the process.
func ours(body string) string {
	var out strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "kvsagent_") {
			out.WriteString(strings.ReplaceAll(line, runtime.Version(), "GOVERSION"))
		}
	}
	return out.String()
}

func TestMetrics(t *testing.T) {
	w := get(t, status.Options{Report: house}, "/metrics")
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics = %d %s", w.Code, w.Body)
	}
	body := w.Body.String()
	golden(t, "metrics.txt", []byte(ours(body)))

	problems, err := promlint.New(strings.NewReader(ours(body))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %sin the scrape", want)
		}
	}
}

// Clients choose their IDs, and would choose the number of time series.
func TestMetricsNameNoClient(t *testing.T) {
	body := get(t, status.Options{Report: house}, "/metrics").Body.String()
	for _, c := range house().Channels {
		for _, p := range c.Peers {
			if p.ClientID != "" && strings.Contains(body, `"`+p.ClientID+`"`) {
				t.Errorf("the metrics name client %q", p.ClientID)
			}
		}
	}
	allowed := []string{"channel", "source", "role", "reason", "codec", "kind", "stage", "le"}
	for line := range strings.Lines(ours(body)) {
		_, labels, found := strings.Cut(line, "{")
		if !found || strings.HasPrefix(line, "kvsagent_build_info") {
			continue
		}
		labels, _, _ = strings.Cut(labels, "}")
		for pair := range strings.SplitSeq(labels, ",") {
			if name, _, _ := strings.Cut(pair, "="); !slices.Contains(allowed, name) {
				t.Errorf("label %s in %s", name, line)
			}
		}
	}
}

// One odd value must not cost the scrape all other values.
func TestMetricsSurviveOddReports(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report status.Report
		want   string
	}{
		{"empty", status.Report{}, "kvsagent_build_info{"},
		{"not UTF-8", status.Report{Version: "v\xff", Sources: []status.Source{{Name: "gate"}}},
			`kvsagent_source_running{source="gate"} 0`},
		{
			"two tracks of one codec",
			status.Report{Sources: []status.Source{{Name: "gate",
				Tracks: []status.Track{{Codec: "H264", Frames: 2}, {Codec: "H264", Frames: 3}}}}},
			`kvsagent_source_frames_total{codec="H264",kind="video",source="gate"} 5`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := get(t, status.Options{Report: func() status.Report { return tt.report }}, "/metrics")
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("GET /metrics = %d, want 200 with %s in:\n%s", w.Code, tt.want, ours(w.Body.String()))
			}
		})
	}
}
