package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestOggToBrowser: a file of sound alone is heard, round after round, by a viewer who has asked for pictures, too.
func TestOggToBrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tone.ogg")
	_, errs, code := run(t, 20*time.Second, environment(), "/usr/bin/ffmpeg", "-nostdin", "-v", "error",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "1", "-c:a", "libopus", file)
	if code != 0 {
		t.Fatalf("ffmpeg: exit %d: %s", code, errs)
	}
	service := startService(t)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources: {tone: {url: "file:%s"}}
channels: {ogg: {source: tone, create: true}}
`, file))
	listener := viewer(t, service, agent.connected(t, "ogg"), "browser-1")
	eventually(t, 15*time.Second, "three seconds of a tone", func() (bool, any) {
		now := listener.stats()
		return now.Audio.Packets > 150 && now.Audio.Energy > 0 && now.Video.Frames == 0, now
	})
}
