package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/kvsagent/kvsagent/localkvs"
)

// patternFPS is how many frames a second the test pattern has.
const patternFPS = 25

// TestBadInput gives one agent everything that goes wrong, one thing after the other, while a viewer of a good channel watches. Each
// gets a clear line in the log, and the viewer notices nothing.
func TestBadInput(t *testing.T) {
	service := startService(t)
	cameraAddress := freeAddress(t)
	locked := startCamera(t, "127.0.0.1:0", "viewer", "right", opusAudio)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
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
	arn := agent.connected(t, "good")
	good := viewer(t, service, arn, "good-viewer")
	good.moves(25)

	// step runs one thing that goes wrong, and then looks at the good viewer.
	step := func(name string, wrong func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			before := good.stats()
			wrong(t)
			after := good.moves(25)
			// Frames that came, not frames that were shown in time: decoding several pictures at once is much for a small machine.
			due := int((after.Now - before.Now) / 1000 * patternFPS)
			if after.Video.Lost != before.Video.Lost || after.Audio.Lost != before.Audio.Lost || after.Video.Received-before.Video.Received < due*9/10-3 {
				t.Errorf("the good viewer noticed: before %+v, after %+v, want about %d frames more and none lost", before, after, due)
			}
			if agent.over() {
				t.Fatalf("the agent ended: %v", agent.cmd.ProcessState)
			}
		})
	}

	step("channel that does not exist", func(t *testing.T) {
		agent.says(t, "level=WARN", "absent", "create: true")
	})
	step("camera that is off", func(t *testing.T) {
		watcher := viewer(t, service, agent.connected(t, "dark"), "dark-viewer")
		agent.says(t, "level=WARN", "dark", cameraAddress, "refused")
		startCamera(t, cameraAddress, "", "", opusAudio)
		watcher.plays(cameraFPS, cameraWidth, cameraHeight, "audio/opus")
		watcher.showsBars(t, "#remote")
	})
	step("wrong RTSP password", func(t *testing.T) {
		viewer(t, service, agent.connected(t, "locked"), "locked-viewer")
		agent.says(t, "level=WARN", "locked", "password")
	})
	step("SDP that is not SDP", func(t *testing.T) {
		dialRaw(t, service.URL(), arn, "raw-sdp").message("SDP_OFFER", `{"type":"offer","sdp":"to be or not to be"}`)
		agent.says(t, "level=WARN", "good", "raw-sdp", "not an sdp")
	})
	step("payload that is not JSON", func(t *testing.T) {
		dialRaw(t, service.URL(), arn, "raw-payload").message("SDP_OFFER", `{"type":`)
		agent.says(t, "good", "raw-payload", "messagePayload")
	})
	step("payload of 20 KiB", func(t *testing.T) {
		r := dialRaw(t, service.URL(), arn, "raw-long")
		r.message("SDP_OFFER", `{"type":"offer","sdp":"`+strings.Repeat("a", 20<<10)+`"}`)
		if got := r.refused(); got != "InvalidArgumentException" {
			t.Errorf("errorType = %q, want InvalidArgumentException", got)
		}
	})
	step("candidates without an offer", func(t *testing.T) {
		r := dialRaw(t, service.URL(), arn, "raw-candidate")
		r.message("ICE_CANDIDATE", `{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}`)
		r.message("ICE_CANDIDATE", `{"candidate":"candidate:nonsense"}`)
	})
	for _, do := range []string{"empty", "garbage", "unknown"} {
		step("service sends "+do, func(t *testing.T) {
			was := agent.channel(t, "good")
			if n, err := service.Act(localkvs.Action{Do: do, Channel: "good", Client: "MASTER"}); n != 1 || err != nil {
				t.Fatalf("sent to %d masters, %v", n, err)
			}
			viewer(t, service, arn, "after-"+do).moves(5) // what came behind it was read
			now := agent.channel(t, "good")
			if now.Connects != was.Connects {
				t.Errorf("connects = %d, was %d: one bad frame is no reason to hang up", now.Connects, was.Connects)
			}
			if do != "empty" && now.Ignored == was.Ignored { // empty frames are part of the service's habits
				t.Errorf("ignored = %d, as before", now.Ignored)
			}
		})
	}
	step("service sends oversized", func(t *testing.T) {
		if n, err := service.Act(localkvs.Action{Do: "oversized", Channel: "good", Client: "MASTER"}); n != 1 || err != nil {
			t.Fatalf("sent to %d masters, %v", n, err)
		}
		agent.says(t, "good", "limit exceeded")
		viewer(t, service, arn, "after-oversized").moves(5)
	})
	for _, do := range []string{"cut", "go_away"} {
		step("signaling connection: "+do, func(t *testing.T) {
			was := agent.channel(t, "good")
			if n, err := service.Act(localkvs.Action{Do: do, Channel: "good", Client: "MASTER"}); n != 1 || err != nil {
				t.Fatalf("done to %d masters, %v", n, err)
			}
			eventually(t, 15*time.Second, "signaling is connected anew", func() (bool, any) {
				now := agent.channel(t, "good")
				return now.Connects > was.Connects && now.State == "connected", now
			})
			viewer(t, service, arn, "after-"+do).moves(5)
		})
	}
	if text := agent.stderr.String(); strings.Contains(text, "wr0ng-secret") {
		t.Error("the log has the password in it")
	}
}

// front is a config of one channel with the test pattern.
const front = `
sources: {test: {url: "testpattern:"}}
channels: {front: {source: test, create: true}}
`

// TestNoCredentials: the daemon says what is missing and goes on.
func TestNoCredentials(t *testing.T) {
	service := startService(t)
	agent := startAgent(t, environment(), service.URL(), "", front)
	agent.says(t, "level=WARN", "front", "credentials")
}

// TestWrongClock: a day off is more than a signature may be; the log says so, and the agent goes by the service's clock.
func TestWrongClock(t *testing.T) {
	service := startService(t)
	service.SetFaults(localkvs.Faults{ClockOffset: 24 * time.Hour})
	agent := startAgent(t, environment(keys...), service.URL(), "", front)
	agent.says(t, "level=WARN", "front", "clock")
	agent.connected(t, "front")
}

// viewer watches a channel of the service with the official SDK.
func viewer(t *testing.T, service *localkvs.Server, arn, id string) *page {
	t.Helper()
	return sdk{arn: arn, endpoint: service.URL(), role: types.ChannelRoleViewer, clientID: id}.join(t, "offer")
}

// says waits for a line of the log that has all the words in it, and fails the test when there are many of them: what lasts is told,
// not repeated.
func (a *agent) says(t *testing.T, words ...string) {
	t.Helper()
	var lines []string
	eventually(t, 15*time.Second, fmt.Sprintf("the log has a line with %q", words), func() (bool, any) {
		lines = a.stderr.lines(words...)
		return len(lines) > 0, "no such line"
	})
	if len(lines) > 5 {
		t.Errorf("%d lines with %q, want few:\n%s", len(lines), words, strings.Join(lines, "\n"))
	}
}
