package testpattern_test

import (
	"context"
	"image"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/testpattern"
)

func newSource(t *testing.T, opts testpattern.Options) *testpattern.Source {
	t.Helper()
	src, err := testpattern.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts testpattern.Options
	}{
		{"default", testpattern.Options{}},
		{"small", testpattern.Options{Size: image.Pt(322, 182), Rate: 7, GOP: 500 * time.Millisecond}},
		{"one key frame only", testpattern.Options{Size: image.Pt(320, 180), Rate: 60, GOP: time.Minute}},
		{"key frames only", testpattern.Options{Size: image.Pt(320, 180), Rate: 10, GOP: time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mediatest.Source(t, func(t *testing.T) media.Source { return newSource(t, tt.opts) })
			})
		})
	}
}

func TestConformanceInRealTime(t *testing.T) {
	mediatest.Source(t, func(t *testing.T) media.Source {
		return newSource(t, testpattern.Options{Size: image.Pt(640, 360), Rate: 15})
	})
}

// tape is a sink that keeps the frames.
type tape struct {
	tracks []media.Track
	frames map[media.Codec][]*media.Frame
	write  func(*media.Frame) // called first, when it is set
}

func (r *tape) Tracks(tracks []media.Track) { r.tracks = tracks }

func (r *tape) Write(f *media.Frame) {
	if r.write != nil {
		r.write(f)
	}
	if r.frames == nil {
		r.frames = map[media.Codec][]*media.Frame{}
	}
	r.frames[f.Codec] = append(r.frames[f.Codec], f)
}

// record runs src for d, in a bubble.
func record(t *testing.T, src media.Source, r *tape, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := src.Run(ctx, r); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, testpattern.Options{Size: image.Pt(320, 180), Rate: 7, GOP: time.Second})
		var r tape
		begin := time.Now()
		r.write = func(f *media.Frame) {
			if since := time.Since(begin); since != f.PTS {
				t.Errorf("%s frame with PTS %v came at %v", f.Codec, f.PTS, since)
			}
		}
		record(t, src, &r, 10*time.Minute+time.Millisecond)

		pictures, packets := r.frames[media.H264], r.frames[media.Opus]
		if got, want := len(pictures), 7*600+1; got != want {
			t.Errorf("%d pictures in ten minutes and the moment after, want %d", got, want)
		}
		if got, want := len(packets), 50*600+1; got != want {
			t.Errorf("%d packets in ten minutes and the moment after, want %d", got, want)
		}
		for n, f := range pictures {
			if want := time.Duration(n) * time.Second / 7; f.PTS != want || !f.Captured.Equal(begin.Add(want)) {
				t.Fatalf("picture %d: PTS %v, captured %v after the beginning, want %v for both", n, f.PTS,
					f.Captured.Sub(begin), want)
			}
			if want := n%7 == 0; f.Key != want {
				t.Fatalf("picture %d: key is %t, want %t", n, f.Key, want)
			}
		}
	})
}

func TestTracks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r tape
		record(t, newSource(t, testpattern.Options{}), &r, 999*time.Millisecond)
		if len(r.tracks) != 2 {
			t.Fatalf("tracks are %+v, want two", r.tracks)
		}
		video, audio := r.tracks[0], r.tracks[1]
		if video.Codec != media.H264 || video.Width != 1280 || video.Height != 720 {
			t.Errorf("video track is %+v, want H264 of 1280x720", video)
		}
		if audio.Codec != media.Opus || audio.Channels != 2 {
			t.Errorf("audio track is %+v, want opus with 2 channels", audio)
		}
		key := r.frames[media.H264][0]
		if string(video.SPS) != string(key.Data[0]) || string(video.PPS) != string(key.Data[1]) {
			t.Error("the parameter sets of the track are not those of the first key frame")
		}
		if got, want := len(r.frames[media.H264]), 30; got != want {
			t.Errorf("%d pictures in a second, want %d", got, want)
		}
	})
}

// TestHeldUp delays the source: briefly, after which it catches up, and for long, after which it continues from now.
func TestHeldUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pause   time.Duration
		skipped bool
	}{{"a moment", 700 * time.Millisecond, false}, {"long", time.Minute, true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(t, testpattern.Options{Size: image.Pt(320, 180), Rate: 10, GOP: time.Second})
				begin := time.Now()
				paused := false
				var behind time.Duration // of the last frame
				r := tape{write: func(f *media.Frame) {
					behind = time.Since(begin) - f.PTS
					if !paused && f.PTS >= time.Second {
						paused = true
						time.Sleep(tt.pause)
					}
				}}
				total := tt.pause + 2*time.Second + time.Millisecond
				record(t, src, &r, total)
				if behind != 0 {
					t.Errorf("the last frame was %v behind, want 0", behind)
				}
				all := int(total/(100*time.Millisecond)) + 1
				got := len(r.frames[media.H264])
				if skipped := got < all-500; skipped != tt.skipped || !skipped && got != all {
					t.Errorf("%d pictures of %d, want some skipped: %t", got, all, tt.skipped)
				}
			})
		})
	}
}

func TestTwoRunsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, testpattern.Options{Size: image.Pt(320, 180)})
		var tapes [2]tape
		var wg sync.WaitGroup
		for i := range tapes {
			wg.Go(func() { record(t, src, &tapes[i], 3*time.Second) })
		}
		wg.Wait()
		for i, f := range tapes[0].frames[media.H264] {
			g := tapes[1].frames[media.H264][i]
			if f.Key != g.Key || string(f.Data[len(f.Data)-1]) != string(g.Data[len(g.Data)-1]) {
				t.Fatalf("picture %d differs between two runs that began at the same time", i)
			}
		}
	})
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want testpattern.Options
	}{
		{"testpattern:", testpattern.Options{}},
		{"testpattern:?", testpattern.Options{}},
		{"testpattern:?size=640x360&rate=15&gop=1s",
			testpattern.Options{Size: image.Pt(640, 360), Rate: 15, GOP: time.Second}},
		{"testpattern:?rate=60", testpattern.Options{Rate: 60}},
	} {
		got, err := testpattern.Parse(tt.url)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tt.url, got, err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"rtsp://camera", "rtsp://camera: not a test pattern; hint: testpattern:?size=640x360"},
		{"testpattern://host?rate=3", `"//host?rate=3" follows testpattern:; hint: only ?size=, rate= and gop= may`},
		{"testpattern:?size=640", `size: "640" is not width x height; hint: size=1280x720`},
		{"testpattern:?size=640x-360", `size: "640x-360" is not width x height`},
		{"testpattern:?size=641x360", "size 641x360: an odd number; hint: 4:2:0"},
		{"testpattern:?size=16x16", "size 16x16: outside 320x180 to 4096x4096"},
		{"testpattern:?size=4096x2160&rate=120", "more than level 5.2 of H.264 allows; hint: a smaller size or rate"},
		{"testpattern:?rate=fast", `rate: "fast" is not a number of frames a second; hint: rate=30`},
		{"testpattern:?rate=0", `rate: "0" is not a number`},
		{"testpattern:?rate=1000", "rate 1000: outside 1 to 120"},
		{"testpattern:?gop=2", `gop: "2" is not a duration; hint: gop=2s`},
		{"testpattern:?gop=1h", "gop 1h0m0s: outside 0 to 1m"},
		{"testpattern:?rate=15&rate=20", "rate: given 2 times; hint: once is enough"},
		{"testpattern:?colour=red", "colour: no such parameter; hint: size, rate and gop are known"},
		{"testpattern:?%zz", "query: "},
	} {
		_, err := testpattern.Parse(tt.url)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want an error with %q", tt.url, err, tt.want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, tt := range []struct {
		opts testpattern.Options
		want string
	}{
		{testpattern.Options{Size: image.Pt(321, 181)}, "test pattern: size 321x181: an odd number"},
		{testpattern.Options{Rate: -1}, "test pattern: rate -1: outside 1 to 120"},
		{testpattern.Options{GOP: -time.Second}, "test pattern: gop -1s: outside 0 to 1m"},
	} {
		if _, err := testpattern.New(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want an error with %q", tt.opts, err, tt.want)
		}
	}
}

// TestRequestKeyFrame asks for a key frame in the middle of a long GOP.
func TestRequestKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := testpattern.New(testpattern.Options{Size: image.Pt(320, 180), Rate: 10, GOP: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		keys := &keyTimes{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, keys) }()
		time.Sleep(2050 * time.Millisecond)
		s.RequestKeyFrame()
		time.Sleep(2 * time.Second)
		cancel()
		<-done
		if len(keys.at) != 2 || keys.at[0] != 0 || keys.at[1] != 2100*time.Millisecond {
			t.Errorf("key frames at %v, want [0s 2.1s]", keys.at)
		}
	})
}

// keyTimes notes when key frames come.
type keyTimes struct{ at []time.Duration }

func (*keyTimes) Tracks([]media.Track) {}

func (k *keyTimes) Write(f *media.Frame) {
	if f.Key {
		k.at = append(k.at, f.PTS)
	}
}
