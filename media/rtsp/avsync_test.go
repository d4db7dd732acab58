package rtsp_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestReports: audio that arrives 400 ms after its picture is aligned when the camera's sender reports say where it
// belongs, and stays where it is when they are nonsense.
func TestReports(t *testing.T) {
	video := baseline(t)
	var numbered [][]byte // 2 s, as long as the pictures
	for i := range 100 {
		numbered = append(numbered, bytes.Repeat([]byte{byte(i)}, 160))
	}
	for _, tt := range []struct {
		name     string
		wrong    time.Duration
		pictures int
		from, to time.Duration // how late the audio is in the end
		log      int           // lines
	}{
		{"in step", 0, 270, -20 * time.Millisecond, 20 * time.Millisecond, 0},
		{"an hour apart", time.Hour, 80, 330 * time.Millisecond, 470 * time.Millisecond, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cam := (&camera{t: t, video: []clip{video}, audio: formatPCMU, sound: numbered, late: 20,
				wrong: tt.wrong}).start("127.0.0.1:0")
			src, log := source(t, rtsp.Options{URL: cam.url()})
			out, err := play(t, src, pictures(tt.pictures))
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			sounds := out.of(media.PCMU)
			first, last := behind(t, out.of(media.H264), sounds[:1], video), behind(t, out.of(media.H264),
				sounds[len(sounds)-1:], video)
			t.Logf("the sound is late by %v, and then by %v", first, last)
			if first < 330*time.Millisecond || last < tt.from || last > tt.to {
				t.Errorf("the sound is late by %v, and then by %v; want 400 ms, and then %v to %v", first, last,
					tt.from, tt.to)
			}
			for i, f := range sounds[1:] {
				if step := f.PTS - sounds[i].PTS; step < 19*time.Millisecond || step > 21*time.Millisecond {
					t.Errorf("a unit of sound comes %v after the one before", step)
				}
			}
			checkVideo(t, out.of(media.H264), video)
			if n := strings.Count(log.String(), "\n"); n != tt.log || n > 0 &&
				!strings.Contains(log.String(), "sender reports are not followed") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// behind returns by how much the PTS of the only audio exceeds that of its picture.
func behind(t *testing.T, pictures, sound []*media.Frame, c clip) time.Duration {
	t.Helper()
	const loop = 2 * time.Second
	last := pictures[len(pictures)-1]
	for n := range c.units {
		if bytes.Equal(payload(last.Data), payload(c.units[n])) {
			d := sound[0].PTS - time.Duration(sound[0].Data[0][0])*20*time.Millisecond -
				(last.PTS - time.Duration(n)*40*time.Millisecond)
			return (d%loop+loop+loop/2)%loop - loop/2
		}
	}
	t.Fatal("the last picture is none of the clip's")
	return 0
}

// TestWrongRate: a camera stamps its pictures for 1.1 times their rate, with and without reports. The picture is with
// its sound in the end, and the operator is told.
func TestWrongRate(t *testing.T) {
	video := baseline(t)
	var numbered [][]byte
	for i := range 100 {
		numbered = append(numbered, bytes.Repeat([]byte{byte(i)}, 160))
	}
	cam := (&camera{t: t, video: []clip{video}, audio: formatPCMU, sound: numbered, times: 1.1}).start("127.0.0.1:0")
	src, log := source(t, rtsp.Options{URL: cam.url()})
	out, err := play(t, src, pictures(25*16))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	sounds := out.of(media.PCMU)
	late := behind(t, out.of(media.H264), sounds[len(sounds)-1:], video)
	if late.Abs() > 80*time.Millisecond {
		t.Errorf("after 16 s the sound is late by %v", late)
	}
	if !strings.Contains(log.String(), "run at the wrong rate and are corrected") ||
		!strings.Contains(log.String(), "times=1.10") {
		t.Errorf("log: %s", log)
	}
}
