package es_test

import (
	"errors"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

type sink struct {
	tracks [][]media.Track
	frames []*media.Frame
}

func (s *sink) Tracks(t []media.Track) { s.tracks = append(s.tracks, t) }
func (s *sink) Write(f *media.Frame)   { s.frames = append(s.frames, f) }

// A key frame of VP8 with its size, and a picture that depends on it (RFC 6386, section 9.1).
func key(w, h byte) [][]byte { return [][]byte{{0x10, 0, 0, 0x9d, 0x01, 0x2a, w, 0, h, 0, 1}} }
func delta() [][]byte        { return [][]byte{{0x11, 0, 0, 1}} }

// Fault 89: times that wrap, jump, go back or stand still give PTS that never go back, and that go on by the time that
// passed.
func TestClock(t *testing.T) {
	const frame = 40 * time.Millisecond
	for name, at := range map[string]func(i int) time.Duration{
		"steady":         func(i int) time.Duration { return time.Duration(i) * frame },
		"begins at 26 h": func(i int) time.Duration { return 26*time.Hour + time.Duration(i)*frame },
		"jumps ahead":    func(i int) time.Duration { return time.Duration(i)*frame + time.Duration(i/50)*time.Hour },
		"jumps back":     func(i int) time.Duration { return time.Duration(i)*frame - time.Duration(i/50)*time.Hour },
		"begins anew":    func(i int) time.Duration { return time.Duration(i%50) * frame },
		"none":           func(int) time.Duration { return es.Untimed },
		"stands still":   func(i int) time.Duration { return time.Duration(min(i, 30)) * frame },
	} {
		s := &sink{}
		w := es.NewWriter(s, media.Track{Codec: media.VP8})
		now := time.Unix(1000, 0)
		for i := range 100 {
			data := delta()
			if i == 0 {
				data = key(64, 48)
			}
			if err := w.Write(media.VP8, at(i), now, data); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			now = now.Add(frame)
		}
		for i, f := range s.frames {
			want := time.Duration(i) * frame
			if name == "stands still" && i > 30 { // it is trusted for half a second
				want = max(30*frame, want-480*time.Millisecond)
			}
			if f.PTS != want {
				t.Errorf("%s: frame %d is at %v, want %v", name, i, f.PTS, want)
				break
			}
		}
	}
}

// Both tracks share one zero, whichever comes first; audio from before it is at zero.
func TestSharedZero(t *testing.T) {
	s := &sink{}
	w := es.NewWriter(s, media.Track{Codec: media.VP8}, media.Track{Codec: media.Opus})
	now := time.Unix(0, 0)
	for _, u := range []struct {
		codec media.Codec
		at    time.Duration
		data  [][]byte
		want  time.Duration
	}{
		{media.Opus, 10 * time.Second, [][]byte{{1}}, 0},
		{media.VP8, 10*time.Second + 300*time.Millisecond, key(64, 48), 300 * time.Millisecond},
		{media.Opus, 10*time.Second + 20*time.Millisecond, [][]byte{{1}}, 20 * time.Millisecond},
	} {
		if err := w.Write(u.codec, u.at, now, u.data); err != nil {
			t.Fatal(err)
		}
		if f := s.frames[len(s.frames)-1]; f.Codec != u.codec || f.PTS != u.want {
			t.Errorf("%s at %v, want %s at %v", f.Codec, f.PTS, u.codec, u.want)
		}
	}
}

// Video begins with a key frame; a stream that has none is not waited for in silence. A new size is announced before
// its first picture.
func TestKeyFrames(t *testing.T) {
	s := &sink{}
	w := es.NewWriter(s, media.Track{Codec: media.VP8})
	now := time.Unix(0, 0)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = w.Write(media.VP8, time.Duration(i)*40*time.Millisecond, now.Add(time.Duration(i)*40*time.Millisecond),
			delta())
	}
	if !errors.Is(err, es.ErrNoKey) || len(s.frames) != 0 || len(s.tracks) != 0 {
		t.Errorf("%v, %d frames, want %v and nothing shown", err, len(s.frames), es.ErrNoKey)
	}
	w = es.NewWriter(s, media.Track{Codec: media.VP8})
	for i, data := range [][][]byte{delta(), key(64, 48), delta(), key(64, 48), key(32, 48), {{}}, nil} {
		if err := w.Write(media.VP8, time.Duration(i)*time.Second, now.Add(time.Duration(i)*time.Second),
			data); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.frames) != 4 || !s.frames[0].Key || len(s.tracks) != 2 || s.tracks[0][0].Width != 64 ||
		s.tracks[1][0].Width != 32 {
		t.Errorf("%d frames, tracks %+v", len(s.frames), s.tracks)
	}
	if err := w.Write(media.H264, 0, now, delta()); err != nil || len(s.frames) != 4 {
		t.Errorf("a codec that was not announced: %v, %d frames", err, len(s.frames))
	}
}
