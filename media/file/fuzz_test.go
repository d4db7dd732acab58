package file_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media/file"
)

// FuzzFile plays files that are damaged anywhere: an error or a picture, but no panic, and no more memory than the bounds allow.
func FuzzFile(f *testing.F) {
	seeds := []struct {
		name string
		args []string
	}{
		{"a.mp4", []string{"-t", "0.2", "-s", "32x32", "-c:v", "libx264", "-bf", "0", "-c:a", "libopus"}},
		{"b.mp4", []string{"-t", "0.2", "-s", "32x32", "-c:v", "libx264", "-bf", "0", "-c:a", "libopus", "-movflags", "frag_keyframe+empty_moov"}},
		{"c.h264", []string{"-t", "0.2", "-s", "32x32", "-map", "0:v", "-c:v", "libx264", "-bf", "0"}},
	}
	for _, s := range seeds {
		data, err := os.ReadFile(clip(f, s.name, s.args...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		src := open(t, file.Options{Path: path})
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			out := &sink{until: 5 * time.Second, stop: cancel}
			if err := src.Run(ctx, out); err == nil {
				t.Error("Run returned without an error and without its context being done")
			}
		})
	})
}
