package file_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kvsagent/kvsagent/media/file"
)

// FuzzFile reads files that are damaged anywhere: an error or samples, but no panic, no endless loop, and no more
// memory than the bounds allow.
func FuzzFile(f *testing.F) {
	seeds := []struct {
		name string
		args []string
	}{
		{"a.mp4", []string{"-t", "0.2", "-s", "32x32", "-c:v", "libx264", "-bf", "0", "-c:a", "libopus"}},
		{"b.mp4", []string{"-t", "0.2", "-s", "32x32", "-c:v", "libx264", "-bf", "0", "-c:a", "libopus", "-movflags",
			"frag_keyframe+empty_moov"}},
		{"d.ogg", []string{"-t", "0.2", "-map", "1:a", "-c:a", "libopus"}},
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
		r, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = file.Walk(r)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
			t.Errorf("a file of %d bytes took %d bytes of memory (%v)", len(data), got, err)
		}
	})
}
