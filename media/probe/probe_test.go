package probe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/probe"
	"github.com/kvsagent/kvsagent/media/testpattern"
)

// camera is a source with all that may be wrong with one.
type camera struct {
	codec, audio media.Codec
	gop          int // frames; 0 is one key frame only
	fps          int
	size         int // bytes in a frame
	key          int // and in a key frame
	late         time.Duration
	ppm          int
	refresh      bool
	jump         bool
	silent       bool // no picture
	fail         error
}

func (c camera) Run(ctx context.Context, out media.Sink) error {
	tracks := []media.Track{{Codec: c.codec, Width: 640, Height: 360, SPS: []byte{0x67, 100, 0, 31}}}
	if c.audio != "" {
		tracks = append(tracks, media.Track{Codec: c.audio})
	}
	out.Tracks(tracks)
	begin := time.Now()
	for i := 0; ; i++ {
		pts := time.Duration(i) * time.Second / time.Duration(c.fps)
		due := begin.Add(pts - pts*time.Duration(c.ppm)/1_000_000)
		if i%10 == 9 {
			due = due.Add(c.late)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		if c.fail != nil {
			return c.fail
		}
		if c.silent {
			continue
		}
		if c.jump && i > 50 {
			pts += 5 * time.Second
		}
		f := &media.Frame{Codec: c.codec, PTS: pts, Key: i == 0 || c.gop > 0 &&
			i%c.gop == 0, Data: [][]byte{make([]byte, max(1, c.size))}}
		if f.Key {
			f.Data = [][]byte{{0x67, 100, 0, 31}, {0x68, 1}, make([]byte, max(1, c.key))}
			if c.refresh {
				f.Data[2][0] = 0x41
			}
		}
		out.Write(f)
		if c.audio == media.Opus {
			out.Write(&media.Frame{Codec: media.Opus, PTS: pts, Data: [][]byte{make([]byte, 100)}})
		}
	}
}

func TestVerdicts(t *testing.T) {
	good := camera{codec: media.H264, audio: media.Opus, gop: 50, fps: 25, size: 8000, key: 40000}
	with := func(change func(*camera)) camera {
		c := good
		change(&c)
		return c
	}
	for name, tt := range map[string]struct {
		c       camera
		verdict probe.Verdict
		want    string
	}{
		"good":     {good, probe.Good, "H.264 plays in every browser"},
		"no sound": {with(func(c *camera) { c.audio = "" }), probe.Good, "no sound"},
		"H.265": {with(func(c *camera) { c.codec = media.H265 }), probe.Fair,
			"not in Firefox; hint: set the camera to H.264"},
		"AAC": {with(func(c *camera) { c.audio = "AAC" }), probe.Fair,
			"sound in AAC, which browsers cannot play: there is none; hint: set the camera's audio to Opus"},
		"intra refresh": {with(func(c *camera) { c.refresh = true }), probe.Bad,
			"no IDR pictures, but recovery points (intra refresh)"},
		"mute":     {with(func(c *camera) { c.audio = media.PCMU }), probe.Fair, "is announced, but does not come"},
		"long GOP": {with(func(c *camera) { c.gop = 200 }), probe.Fair, "8.0 s from one key frame to the next"},
		"no GOP":   {with(func(c *camera) { c.gop = 0 }), probe.Fair, "one key frame only in 20 s"},
		"rate":     {with(func(c *camera) { c.size = 80000; c.key = 80000 }), probe.Fair, "16.0 Mbit/s are more"},
		"burst": {with(func(c *camera) { c.key = 400000 }), probe.Fair,
			"stutters at each key frame; hint: set the rate control to CBR"},
		"slow": {with(func(c *camera) { c.fps = 5; c.gop = 10 }), probe.Fair, "5.0 pictures a second look jerky"},
		"jitter": {with(func(c *camera) { c.late = 300 * time.Millisecond }), probe.Fair,
			"pictures come up to 300 ms late"},
		"drift": {with(func(c *camera) { c.ppm = 1000 }), probe.Fair, "its clock is off by 100"},
		"wrong rate": {with(func(c *camera) { c.ppm = 200_000 }), probe.Fair, "run about 1.25 times as fast as time; " +
			"they are corrected after ten seconds; hint: set a frame rate"},
		"jump": {with(func(c *camera) { c.jump = true }), probe.Fair, "its clock jumped 1 times"},
		"B-frames": {with(func(c *camera) { c.fail = errors.New("rtsp://x: receive: the camera sends B-frames") }),
			probe.Bad, "B-frames), which WebRTC cannot carry; hint: set the camera's H.264 profile to Baseline"},
		"refused": {with(func(c *camera) { c.fail = errors.New("rtsp://x: connection refused; hint: is it on?") }),
			probe.Bad, "connection refused; hint: is it on?"},
		"no key": {with(func(c *camera) { c.silent = true }), probe.Bad, "no picture came"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := probe.Run(t.Context(), tt.c, 20*time.Second)
				said := ""
				for _, f := range r.Findings {
					said += fmt.Sprintf("%s: %s; hint: %s\n", f.Verdict, f.What, f.Hint)
				}
				if r.Verdict != tt.verdict || !strings.Contains(said, tt.want) {
					t.Errorf("%s:\n%swant %s: %s", r.Verdict, said, tt.verdict, tt.want)
				}
			})
		})
	}
}

// The numbers of a known source.
func TestNumbers(t *testing.T) {
	s, err := testpattern.New(testpattern.Options{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := probe.Run(t.Context(), s, 10*time.Second)
		v := r.Video
		if r.Verdict != probe.Good || v.Codec != "H264" || v.Profile != "Constrained Baseline, level 3.1" ||
			v.Width != 1280 || v.Height != 720 ||
			v.FPS != 30 || v.GOPMS != 2000 || v.BFrames || v.Frames < 299 || v.Frames > 301 || v.Bitrate < 50_000 ||
			r.Audio.Codec != "opus" || r.Clock.JitterMS > 1 || r.Error != "" {
			t.Errorf("%+v %+v %+v %+v", r, v, r.Audio, r.Clock)
		}
	})
}
