package file_test

import (
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/file"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/mediatest"
)

// TestForeign: AAC passes if asked for, each frame with the header that a decoder needs, in sync with the video.
func TestForeign(t *testing.T) {
	for name, args := range map[string][]string{
		"plain":      plain("-c:a", "aac"),
		"fragmented": plain("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
	} {
		t.Run(name, func(t *testing.T) {
			path := clip(t, "aac.mp4", args...)
			mediatest.Source(t,
				func(t *testing.T) media.Source { return open(t, file.Options{Path: path, Foreign: true}) })
			out, err := play(t, open(t, file.Options{Path: path, Foreign: true}), 5*time.Second)
			if err == nil {
				t.Fatal("Run = nil")
			}
			sound := out.of(es.ADTS)
			if len(sound) < 200 || len(out.tracks[0]) != 2 {
				t.Fatalf("%d frames of sound in 5 s, tracks %+v", len(sound), out.tracks[0])
			}
			for _, f := range sound {
				if d := es.Duration(es.ADTS, f.Data[0]); d != 1024*time.Second/48000 {
					t.Fatalf("a frame of %v", d)
				}
			}
		})
	}
}
