package bench_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/bench"
)

// TestGoals: what was measured is held against its goal, run by run, and what was not measured is not spoken of.
func TestGoals(t *testing.T) {
	r := &bench.Report{
		Runs: []bench.Run{
			{Server: bench.Agent, Viewers: 100, CPU: 1, Resident: 700},
			{Server: bench.Naive, Viewers: 100, CPU: 4, Resident: 1400},
			{Server: bench.Agent, Viewers: 100, CPU: 2, Resident: 500},
			{Server: bench.Naive, Viewers: 100, CPU: 4, Resident: 2500},
			{Server: bench.Agent, Viewers: 10, CPU: 9, Resident: 9},
			{Server: bench.Naive, Viewers: 10, CPU: 1, Resident: 1},
		},
		Limits: []bench.Limit{{Server: bench.Agent, Carried: 500}, {Server: bench.Naive, Carried: 200}},
		Idle:   []bench.Idle{{Core: 0.001, Resident: 21, Own: 6, Binary: 23}},
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| CPU per viewer-second, with Pion's public API alone | at most 0.52 x naive | 0.38 (0.25-0.50) | yes |",
		"| resident per viewer | at most 0.2 x naive | 0.35 (0.20-0.50) | no |",
		"| resident per viewer | at most 600 KB | 600 (500-700) | yes |",
		"| viewers on one core | at least 2.2 x naive | 2.50 | yes |",
		"| idle, resident | at most 20 MB | 21.0 | no |",
		"| idle, CPU | at most 0.5 % of a core | 0.10 | yes |",
		"| idle, connections to the camera | at most 0 | 0 | yes |",
	} {
		if !strings.Contains(table.String(), want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(table.String(), "first frame p50, who") || strings.Contains(table.String(), "| join, CPU") {
		t.Error("figures that nobody measured")
	}
	if t.Failed() {
		t.Log(table.String())
	}
}
