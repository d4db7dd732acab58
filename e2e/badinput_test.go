package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/localkvs"
)

// TestBadInput gives one agent everything that goes wrong, one thing after the other, while a viewer of a good channel
// watches. Each gets a clear line in the log, and the viewer notices nothing.
func TestBadInput(t *testing.T) {
	service := rig.StartService(t)
	cameraAddress := rig.FreeAddress(t)
	locked := rig.StartCamera(t, "127.0.0.1:0", "viewer", "right", rig.OpusAudio)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources:
  test: {url: "testpattern:"}
  dark: {url: "rtsp://%s/live"}
  locked: {url: %q, username: viewer, password: wr0ng-secret}
defaults: {create: true}
channels:
  good: {source: test}
  dark: {source: dark}
  locked: {source: locked}
  absent: {source: test, create: false}
`, cameraAddress, locked.URL()))
	arn := agent.Connected(t, "good")
	good := rig.OpenViewer(t, service, arn, "good-viewer")
	good.Moves(25)

	// step runs one thing that goes wrong, and then looks at the good viewer.
	step := func(name string, wrong func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			before := good.Stats()
			made := madeBy(t, agent, "test")
			wrong(t)
			good.Moves(25)
			made = madeBy(t, agent, "test") - made // within what the page counts, however long asking takes
			after := good.Stats()
			// Frames that came, not frames that were shown in time: a small machine cannot decode several at once.
			if after.Video.Lost != before.Video.Lost || after.Audio.Lost != before.Audio.Lost ||
				after.Video.Received-before.Video.Received < made*9/10-3 {
				t.Errorf("the good viewer noticed: before %+v, after %+v, want about %d frames more and none lost",
					before, after, made)
			}
			if agent.Over() {
				t.Fatalf("the agent ended: %v", agent.Cmd.ProcessState)
			}
		})
	}

	step("channel that does not exist", func(t *testing.T) {
		agent.Says(t, "level=WARN", "absent", "create: true")
	})
	step("camera that is off", func(t *testing.T) {
		watcher := rig.OpenViewer(t, service, agent.Connected(t, "dark"), "dark-viewer")
		agent.Says(t, "level=WARN", "dark", cameraAddress, "refused")
		rig.StartCamera(t, cameraAddress, "", "", rig.OpusAudio)
		watcher.Plays(rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
		watcher.ShowsBars(t, "#remote")
	})
	step("wrong RTSP password", func(t *testing.T) {
		rig.OpenViewer(t, service, agent.Connected(t, "locked"), "locked-viewer")
		agent.Says(t, "level=WARN", "locked", "password")
	})
	step("SDP that is not SDP", func(t *testing.T) {
		rig.DialRaw(t, service.URL(), arn, "raw-sdp").Message("SDP_OFFER",
			`{"type":"offer","sdp":"to be or not to be"}`)
		agent.Says(t, "level=WARN", "good", "raw-sdp", "not an sdp")
	})
	step("payload that is not JSON", func(t *testing.T) {
		rig.DialRaw(t, service.URL(), arn, "raw-payload").Message("SDP_OFFER", `{"type":`)
		agent.Says(t, "good", "raw-payload", "payload is not a session description")
	})
	step("payload of 20 KiB", func(t *testing.T) {
		r := rig.DialRaw(t, service.URL(), arn, "raw-long")
		r.Message("SDP_OFFER", `{"type":"offer","sdp":"`+strings.Repeat("a", 20<<10)+`"}`)
		if got := r.Refused(); got != "InvalidArgumentException" {
			t.Errorf("errorType = %q, want InvalidArgumentException", got)
		}
	})
	step("candidates without an offer", func(t *testing.T) {
		r := rig.DialRaw(t, service.URL(), arn, "raw-candidate")
		r.Message("ICE_CANDIDATE",
			`{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}`)
		r.Message("ICE_CANDIDATE", `{"candidate":"candidate:nonsense"}`)
	})
	for _, do := range []string{"empty", "garbage", "unknown"} {
		step("service sends "+do, func(t *testing.T) {
			was := agent.Channel(t, "good")
			if n, err := service.Act(localkvs.Action{Do: do, Channel: "good", Client: "MASTER"}); n != 1 || err != nil {
				t.Fatalf("sent to %d masters, %v", n, err)
			}
			rig.OpenViewer(t, service, arn, "after-"+do).Moves(5) // what came behind it was read
			now := agent.Channel(t, "good")
			if now.Connects != was.Connects {
				t.Errorf("connects = %d, was %d: one bad frame is no reason to hang up", now.Connects, was.Connects)
			}
			if do != "empty" && now.Ignored == was.Ignored { // empty frames are part of the service's habits
				t.Errorf("ignored = %d, as before", now.Ignored)
			}
		})
	}
	step("service sends oversized", func(t *testing.T) {
		if n, err := service.Act(localkvs.Action{Do: "oversized", Channel: "good", Client: "MASTER"}); n != 1 ||
			err != nil {
			t.Fatalf("sent to %d masters, %v", n, err)
		}
		agent.Says(t, "good", "limit exceeded")
		rig.OpenViewer(t, service, arn, "after-oversized").Moves(5)
	})
	for _, do := range []string{"cut", "go_away"} {
		step("signaling connection: "+do, func(t *testing.T) {
			was := agent.Channel(t, "good")
			if n, err := service.Act(localkvs.Action{Do: do, Channel: "good", Client: "MASTER"}); n != 1 || err != nil {
				t.Fatalf("done to %d masters, %v", n, err)
			}
			rig.Eventually(t, 15*time.Second, "signaling is connected anew", func() (bool, any) {
				now := agent.Channel(t, "good")
				return now.Connects > was.Connects && now.State == "connected", now
			})
			rig.OpenViewer(t, service, arn, "after-"+do).Moves(5)
		})
	}
	if text := agent.Stderr.String(); strings.Contains(text, "wr0ng-secret") {
		t.Error("the log has the password in it")
	}
}

// madeBy is how many frames of video a source has made.
func madeBy(t *testing.T, a *rig.Agent, source string) int {
	t.Helper()
	r, err := a.Report()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Sources {
		if s.Name == source && len(s.Tracks) > 0 {
			return int(s.Tracks[0].Frames)
		}
	}
	t.Fatalf("no source %s in %+v", source, r.Sources)
	return 0
}

// front is a config of one channel with the test pattern.
const front = `
sources: {test: {url: "testpattern:"}}
channels: {front: {source: test, create: true}}
`

// TestNoCredentials: the daemon says what is missing and goes on.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	service := rig.StartService(t)
	agent := rig.StartAgent(t, rig.Environment(), service.URL(), "", front)
	agent.Says(t, "level=WARN", "front", "credentials")
}

// TestWrongClock: a day off is more than a signature may be; the log says so, and the agent goes by the service's
// clock.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	service := rig.StartService(t)
	service.SetFaults(localkvs.Faults{ClockOffset: 24 * time.Hour})
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", front)
	agent.Says(t, "level=WARN", "front", "clock")
	agent.Connected(t, "front")
}
