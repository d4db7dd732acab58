// Package mediatest is the conformance suite for media.Source: all sources are checked in the same way.
package mediatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
)

const (
	watch    = 1500 * time.Millisecond // the minimum length of the first run
	patience = 10 * time.Second        // how long a run may take to show a frame of each track
	prompt   = time.Second             // how long Run may take to return once its context is done
	ahead    = time.Second             // how far PTS may be ahead of the time since Run began
)

// Source checks that the sources that make returns keep the promises of media.Source:
//
//   - Tracks comes before the first Write and names what is written; calls come one at a time;
//   - the first video frame is a key frame and begins with its parameter sets;
//   - PTS begins with Run, never goes back within a track and keeps the pace of the clock;
//   - Run returns promptly, with nil or ctx.Err(), once its context is done, also when it was done before;
//   - Run may be called again, and is then a clean start;
//   - frames stay as they were written, and nothing that Run started outlives it.
//
// Source takes about two seconds and starts no subtests, so it may be called inside a synctest bubble, where it takes
// none. A source must show a frame of each of its tracks within ten seconds. Do not call it from parallel tests: they
// would see each other's goroutines. What make starts (a fake camera, say) must be running when make returns, and may
// stay.
func Source(t *testing.T, make func(t *testing.T) media.Source) {
	t.Helper()
	src := make(t)
	leaks := goleak.IgnoreCurrent()

	first := run(t, src, "first run", watch)
	second := run(t, src, "second run", 0)
	done(t, src)

	first.unchanged()
	second.unchanged()
	if err := goleak.Find(leaks); err != nil {
		t.Errorf("Run left goroutines behind: %v", err)
	}
}

// run runs src for at least d, and until each track has shown a frame; then it stops src. What src wrote is checked on
// the way.
func run(t *testing.T, src media.Source, name string, d time.Duration) *recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rec := newRecorder(t, name)
	end := make(chan error, 1)
	go func() { end <- src.Run(ctx, rec) }()

	least, most := time.After(d), time.After(d+patience)
	for complete := rec.complete; least != nil || complete != nil; {
		select {
		case <-least:
			least = nil
		case <-complete:
			complete = nil
		case <-most:
			least, complete = nil, nil
		case err := <-end:
			t.Fatalf("%s: Run returned %v by itself; it should run until its context is done", name, err)
		}
	}
	cancel()
	await(t, ctx, end, name)
	if rec.tracks == nil {
		t.Errorf("%s: Tracks was not called within %v", name, d+patience)
	}
	for _, codec := range rec.missing() {
		t.Errorf("%s: no frame of %s within %v", name, codec, d+patience)
	}
	return rec
}

// done runs src with a context that is done before it begins.
func done(t *testing.T, src media.Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	end := make(chan error, 1)
	go func() { end <- src.Run(ctx, newRecorder(t, "context done before Run")) }()
	await(t, ctx, end, "context done before Run")
}

// await checks that Run returns promptly and says only that its context is done.
func await(t *testing.T, ctx context.Context, end <-chan error, name string) {
	t.Helper()
	begin := time.Now()
	select {
	case err := <-end:
		if err != nil && !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: Run = %v, want nil or %v", name, err, ctx.Err())
		}
		if d := time.Since(begin); d > prompt {
			t.Errorf("%s: Run returned %v after its context was done, want at most %v", name, d, prompt)
		}
	case <-time.After(10 * prompt):
		t.Fatalf("%s: Run still runs %v after its context was done", name, 10*prompt)
	}
}
