package mediatest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
)

// fake is a source that keeps every promise except those that its fields break.
type fake struct {
	first  func(media.Sink)            // called first, instead of Tracks
	change func(n int, f *media.Frame) // called before frame n is written
	after  func(f *media.Frame)        // called after a frame was written
	err    error                       // returned at once
	end    func(context.Context) error // called at the end
	leave  func()                      // run on a goroutine that nobody waits for
}

func (s *fake) Run(ctx context.Context, out media.Sink) error {
	if s.err != nil {
		return s.err
	}
	if s.first == nil {
		s.first = announce
	}
	s.first(out)
	if s.leave != nil {
		go s.leave()
	}
	begin := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			if s.end != nil {
				return s.end(ctx)
			}
			return nil
		case <-tick.C:
			f := &media.Frame{Codec: media.Opus, PTS: time.Since(begin), Captured: time.Now(), Data: [][]byte{{1}}}
			if n%2 == 0 {
				f.Codec, f.Key = media.H264, n%10 == 0
				f.Data = [][]byte{{0x61, 1}}
				if f.Key {
					f.Data = [][]byte{{0x67, 1}, {0x68, 1}, {0x65, 1}}
				}
			}
			if s.change != nil {
				s.change(n, f)
			}
			out.Write(f)
			if s.after != nil {
				s.after(f)
			}
		}
	}
}

func announce(out media.Sink) {
	out.Tracks([]media.Track{{Codec: media.H264}, {Codec: media.Opus}})
}

// broken has a source for each promise that breaks it, and the suite's message.
var broken = map[string]struct {
	source fake
	want   string
}{
	"no tracks":    {fake{first: func(media.Sink) {}}, "written before Tracks was called"},
	"empty tracks": {fake{first: func(out media.Sink) { out.Tracks(nil) }}, "0 video and 0 audio tracks"},
	"two videos": {fake{first: func(out media.Sink) {
		out.Tracks([]media.Track{{Codec: media.H264},
			{Codec: media.VP8}})
	}}, "2 video and 0 audio tracks"},
	"nameless track": {fake{first: func(out media.Sink) { out.Tracks([]media.Track{{Codec: media.H264}, {}}) }},
		"a track has no codec"},
	"unannounced": {fake{first: func(out media.Sink) { out.Tracks([]media.Track{{Codec: media.Opus}}) }},
		"Tracks did not announce this codec"},
	"silent track": {fake{change: func(n int, f *media.Frame) {
		f.Codec = media.H264
		f.Key, f.Data = true,
			[][]byte{{7}, {8}, {5}}
	}},
		"no frame of opus within"},
	"no key frame first": {fake{change: func(n int, f *media.Frame) {
		if n == 0 {
			f.Key, f.Data = false, [][]byte{{0x61}}
		}
	}}, "the first video frame is not a key frame"},
	"no parameter sets": {fake{change: func(n int, f *media.Frame) {
		if f.Key {
			f.Data = f.Data[2:]
		}
	}}, "want them to begin with [7 8]"},
	"parameter sets late": {fake{change: func(n int, f *media.Frame) {
		if f.Key {
			f.Data = [][]byte{{0x65}, {0x67}, {0x68}}
		}
	}}, "want them to begin with [7 8]"},
	"key not marked": {fake{change: func(n int, f *media.Frame) { f.Key = f.Key && n == 0 }},
		"Key is false, but its unit types are [7 8 5]"},
	"key marked falsely": {fake{change: func(n int, f *media.Frame) { f.Key = f.Codec == media.H264 }},
		"Key is true, but its unit types are [1]"},
	"start code": {fake{change: func(n int, f *media.Frame) {
		if n == 2 {
			f.Data[0] = []byte{0, 0, 0, 1, 0x61}
		}
	}}, "unit 0 begins with a start code"},
	"empty unit": {fake{change: func(n int, f *media.Frame) { f.Data[0] = nil }}, "unit 0 is empty"},
	"no data":    {fake{change: func(n int, f *media.Frame) { f.Data = nil }}, "no data"},
	"audio key": {fake{change: func(n int, f *media.Frame) { f.Key = true }},
		"an audio frame is marked as key frame"},
	"audio in two": {fake{change: func(n int, f *media.Frame) { f.Data = append(f.Data, []byte{1}) }},
		"2 units of 2 bytes, want one"},
	"PTS back": {fake{change: func(n int, f *media.Frame) { f.PTS = time.Second - f.PTS/1000 }},
		"PTS goes back from"},
	"PTS negative": {fake{change: func(n int, f *media.Frame) { f.PTS = -1 }}, "PTS is negative"},
	"PTS ahead": {fake{change: func(n int, f *media.Frame) { f.PTS += 2 * time.Second }},
		"PTS is ahead of the clock"},
	"PTS goes on":    {fake{change: goesOn()}, "second run: frame 0 (H264, PTS 1.52s): PTS is ahead of the clock"},
	"not captured":   {fake{change: func(n int, f *media.Frame) { f.Captured = time.Time{} }}, "Captured is not set"},
	"bytes reused":   {fake{after: func(f *media.Frame) { f.Data[0][0]++ }}, "was changed after it was written"},
	"frame reused":   {fake{after: func(f *media.Frame) { f.PTS++ }}, "was changed after it was written"},
	"ends by itself": {fake{err: errors.New("camera is off")}, "first run: Run returned camera is off by itself"},
	"wrong error": {fake{end: func(context.Context) error { return errors.New("oops") }},
		"Run = oops, want nil or context canceled"},
	"slow end": {fake{end: func(context.Context) error { time.Sleep(3 * time.Second); return nil }},
		"Run returned 3s after its context was done"},
	"no end": {fake{end: func(context.Context) error { time.Sleep(time.Minute); return nil }},
		"Run still runs 10s after its context was done"},
	"leak": {fake{leave: func() { time.Sleep(time.Hour) }}, "Run left goroutines behind"},
}

// goesOn is a change that lets PTS go on from one run to the next.
func goesOn() func(int, *media.Frame) {
	var last, base time.Duration
	return func(n int, f *media.Frame) {
		if n == 0 {
			base = last
		}
		f.PTS += base
		last = f.PTS
	}
}

func TestGood(t *testing.T) {
	for name, src := range map[string]*fake{
		"returns nil":       {},
		"returns ctx.Err()": {end: func(ctx context.Context) error { return ctx.Err() }},
		"announces again": {change: nil, first: func(out media.Sink) {
			announce(out)
			announce(out)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mediatest.Source(t, func(*testing.T) media.Source { return src })
			})
		})
	}
}

// child names the broken source that a test program run by TestBroken tries.
const child = "MEDIATEST_BROKEN"

// TestBroken runs the suite on sources that break a promise, each in a test program of its own, since it must fail
// there.
func TestBroken(t *testing.T) {
	if name := os.Getenv(child); name != "" {
		b := broken[name]
		synctest.Test(t, func(t *testing.T) {
			mediatest.Source(t, func(*testing.T) media.Source { return &b.source })
		})
		return
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$")
			cmd.Env = append(os.Environ(), child+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), b.want) {
				t.Errorf("the suite ends with %v, and says:\n%s\nwant a failure with %q", err, out, b.want)
			}
		})
	}
}
