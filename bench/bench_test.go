package bench_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/bench"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMeasure runs the whole harness, small: it works, and what it measures is correct. How fast that is depends on the
// machine, and is not asserted.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs two servers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, err := bench.Measure(ctx, bench.Options{
		Viewers: []int{10}, Window: 5 * time.Second, Settle: time.Second, Against: true, Joins: 2, Idle: true,
		Loss: 0.01, TWCC: true, PLI: time.Second,
		Progress: func(what string) { t.Log(what) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if len(r.Runs) != 2 || len(r.Joins) != 2 {
		t.Fatalf("%d runs and %d series of joins, want 2 and 2", len(r.Runs), len(r.Joins))
	}
	if len(r.Idle) != 1 || r.Idle[0].Own <= 1 || r.Idle[0].Resident <= r.Idle[0].Own || r.Idle[0].Camera != 0 ||
		r.Idle[0].Binary < 1 {
		t.Errorf("idle: %+v", r.Idle)
	}
	for _, m := range r.Runs {
		if m.Packets < 300 || m.Failed > 0 || m.CPU <= 0 || m.Resident <= 0 || m.Frame.P50 <= 0 ||
			m.FirstFrame.P50 <= 0 {
			t.Errorf("%s: not a measurement: %+v", m.Server, m)
		}
		if m.Asked == 0 || m.Late == 0 {
			t.Errorf("%s: %d packets asked for, %d came; want some", m.Server, m.Asked, m.Late)
		}
		if m.Server == bench.Naive && m.TWCC == 0 {
			t.Error("naive was sent no transport-wide feedback")
		}
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "| CPU ms/viewer-s |") {
		t.Errorf("table: %v\n%s", err, table.String())
	}
	for d := xml.NewDecoder(bytes.NewReader(r.Plot())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("plot: %v\n%s", err, r.Plot())
		}
	}
}

// TestMeasureLevels lets the viewers go to the smaller stream and come back, and lose packets. Every picture that they
// get is held against the clips.
func TestMeasureLevels(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs a server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, err := bench.Measure(ctx, bench.Options{Viewers: []int{4}, Sub: true, Loss: 0.01, Settle: time.Second,
		Progress: func(what string) { t.Log(what) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if m := r.Runs[0]; m.Moved < 4 || m.Checked < 1500 || m.RTX == 0 || m.TWCC == 0 {
		t.Errorf("%d moves, %d pictures, %d packets again, %d packets of feedback", m.Moved, m.Checked, m.RTX, m.TWCC)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    bench.Options
		want string
	}{
		{"too many", bench.Options{Viewers: []int{1, 100000}}, "100000 viewers"},
		{"none", bench.Options{Viewers: []int{0}}, "0 viewers"},
		{"for ever", bench.Options{Window: 24 * time.Hour}, "window"},
		{"all lost", bench.Options{Loss: 1}, "loss"},
		{"a flood", bench.Options{PLI: time.Microsecond}, "PLI"},
		{"joins", bench.Options{Joins: -1}, "joins"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := bench.Measure(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}
