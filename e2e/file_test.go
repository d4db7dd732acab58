package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestFileToBrowser plays a file that ffmpeg made, past its end and into the next round, to two channels and the
// agent's own page.
func TestFileToBrowser(t *testing.T) {
	file := rig.Encoded(t, ".mp4", "-f", "lavfi", "-i", "smptebars=size=640x360:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2", "-c:v", "libx264", "-preset",
		"ultrafast",
		"-profile:v", "baseline", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus")
	service := rig.StartService(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources: {bars: {url: "file:%s"}}
defaults: {source: bars, create: true}
channels: {one: {}, two: {}}
`, file))
	one := rig.OpenViewer(t, service, agent.Connected(t, "one"), "browser-1")
	two := rig.OpenViewer(t, service, agent.Connected(t, "two"), "browser-1")
	own := rig.OpenPage(t, agent.StatusURL+"/")
	for _, p := range []*rig.Page{one, two} {
		p.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
		p.ShowsBars(t, "#remote")
	}
	own.Moves(10)
	own.ShowsBars(t, "#video-one")
	agent.Says(t, `"signaling connected"`, "channel=one", "viewer=page-")
}

// TestOggToBrowser: a file of sound alone is heard, round after round, by a viewer who has asked for pictures, too.
func TestOggToBrowser(t *testing.T) {
	file := rig.Encoded(t, ".ogg", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "1", "-c:a",
		"libopus")
	service := rig.StartService(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources: {tone: {url: "file:%s"}}
channels: {ogg: {source: tone, create: true}}
`, file))
	listener := rig.OpenViewer(t, service, agent.Connected(t, "ogg"), "browser-1")
	rig.Eventually(t, 15*time.Second, "three seconds of a tone", func() (bool, any) {
		now := listener.Stats()
		return now.Audio.Packets > 150 && now.Audio.Energy > 0 && now.Video.Frames == 0, now
	})
}
