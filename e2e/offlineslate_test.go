package e2e

import (
	"fmt"
	"testing"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestOfflineSlate: who watches sees that the camera is away, and its picture again when it is back, in one connection.
func TestOfflineSlate(t *testing.T) {
	service := rig.StartService(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {away: {source: gate, create: true}}
`, cam.URL()))
	watcher := rig.OpenViewer(t, service, agent.Connected(t, "away"), "browser-1")
	watcher.Plays(rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")
	cam.Off()
	watcher.ShowsSlate(t, "#remote")
	rig.StartCamera(t, cam.Address, "", "", rig.OpusAudio)
	watcher.Plays(2*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")
	watcher.SameConnection(t)
}

// TestOffAtTheStart: a camera that is off when the agent starts shows the same to who comes then, and its picture in
// the same connection when it is switched on.
func TestOffAtTheStart(t *testing.T) {
	service := rig.StartService(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	cam.Off()
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {away: {source: gate, create: true}}
`, cam.URL()))
	watcher := rig.OpenViewer(t, service, agent.Connected(t, "away"), "browser-1")
	watcher.ShowsSlate(t, "#remote")
	rig.StartCamera(t, cam.Address, "", "", rig.OpusAudio)
	watcher.Plays(rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	watcher.ShowsBars(t, "#remote")
	watcher.SameConnection(t)
}
