package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// TestCameraToBrowser is the main job: a camera, the daemon, the official SDK in a browser.
func TestCameraToBrowser(t *testing.T) {
	service := startKVS(t)
	for _, tt := range []struct {
		name      string
		audio     []string
		codec     string
		url, ca   string
		relayOnly bool
	}{
		{name: "opus over TLS", audio: opusAudio, codec: "audio/opus", url: service.TLSURL, ca: service.CA},
		{name: "pcmu without TLS", audio: pcmuAudio, codec: "audio/PCMU", url: service.URL},
		{name: "opus through TURN", audio: opusAudio, codec: "audio/opus", url: service.URL, relayOnly: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam := startCamera(t, "127.0.0.1:0", "viewer", "open sesame", tt.audio)
			name := strings.ReplaceAll(tt.name, " ", "-")
			agent := startAgent(t, environment(keys...), tt.url, tt.ca, fmt.Sprintf(`
sources: {gate: {url: %q, username: viewer, password: open sesame}}
channels: {%s: {source: gate, create: true}}
`, cam.URL(), name))
			viewer := sdk{
				arn: agent.connected(t, name), endpoint: tt.url, ca: tt.ca, role: types.ChannelRoleViewer, clientID: "browser-1", relayOnly: tt.relayOnly,
			}.join(t, "offer")
			got := viewer.plays(3*cameraFPS, cameraWidth, cameraHeight, tt.codec)
			viewer.showsBars(t, "#remote")
			if got.Video.Codec != "video/H264" {
				t.Errorf("video codec = %s, want H264 passed through", got.Video.Codec)
			}
			if tt.relayOnly && (len(got.Pairs) == 0 || !strings.HasPrefix(got.Pairs[0], "relay>")) {
				t.Errorf("pairs = %v, want the browser's to be relay", got.Pairs)
			}
			if lines := agent.stderr.lines("level=INFO", `"first key frame"`, "client=browser-1", "after.answer=", "after.packet=", "after.frame="); len(lines) != 1 {
				t.Errorf("the first key frame is told of %d times", len(lines))
			}
			if text := agent.stderr.String() + agent.stdout.String(); strings.Contains(text, "open sesame") || strings.Contains(text, "X-Amz-Signature") {
				t.Error("the log has a secret in it")
			}
		})
	}
}

// TestCameraComesBack: a camera that restarts costs its viewers some seconds of the picture and not the connection.
func TestCameraComesBack(t *testing.T) {
	service := startService(t)
	cam := startCamera(t, "127.0.0.1:0", "", "", opusAudio)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {back: {source: gate, create: true}}
`, cam.URL()))
	watcher := viewer(t, service, agent.connected(t, "back"), "browser-1")
	watcher.plays(cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	cam.off()
	agent.says(t, "level=WARN", "gate", "refused")
	startCamera(t, cam.Address, "", "", opusAudio)
	watcher.plays(3*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	watcher.showsBars(t, "#remote")
	if got := watcher.stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections = %v, want the first one still", got)
	}
}

// TestFileToBrowser plays a file that ffmpeg made, past its end and into the next round, to two channels and the agent's own page.
func TestFileToBrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bars.mp4")
	_, errs, code := run(t, 20*time.Second, environment(), "/usr/bin/ffmpeg", "-nostdin", "-v", "error",
		"-f", "lavfi", "-i", "smptebars=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2",
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus", file)
	if code != 0 {
		t.Fatalf("ffmpeg: exit %d: %s", code, errs)
	}
	service := startService(t)
	agent := startAgent(t, environment(keys...), service.URL(), "", fmt.Sprintf(`
sources: {bars: {url: "file:%s"}}
defaults: {source: bars, create: true}
channels: {one: {}, two: {}}
`, file))
	one := viewer(t, service, agent.connected(t, "one"), "browser-1")
	two := viewer(t, service, agent.connected(t, "two"), "browser-1")
	own := openPage(t, agent.statusURL+"/")
	for _, p := range []*page{one, two} {
		p.plays(3*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
		p.showsBars(t, "#remote")
	}
	own.moves(10)
	own.showsBars(t, "#video-one")
	agent.says(t, `"signaling connected"`, "channel=one", "viewer=page-")
}

// TestCandidatesBeforeTheOffer: the service does not promise an order between an offer and its candidates.
func TestCandidatesBeforeTheOffer(t *testing.T) {
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", `
sources: {test: {url: "testpattern:"}}
channels: {early: {source: test, create: true}}
`)
	viewer := sdk{arn: agent.connected(t, "early"), endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "browser-1", candidatesFirst: true}.join(t, "offer")
	viewer.moves(20)
}

// TestMasterOffers: the agent, as master, offers to a viewer that is the official SDK and answers.
func TestMasterOffers(t *testing.T) {
	service := startKVS(t)
	cam := startCamera(t, "127.0.0.1:0", "", "", opusAudio)
	arn := create(t, service.URL, "push")
	viewer := sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "browser-1"}.join(t, "answer")
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {push: {source: gate, offer_to: [browser-1]}}
`, cam.URL()))
	viewer.plays(3*cameraFPS, cameraWidth, cameraHeight, "audio/opus")
	viewer.showsBars(t, "#remote")
	peers := agent.channel(t, "push").Peers
	if len(peers) != 1 || peers[0].ClientID != "browser-1" || peers[0].Offerer != "us" {
		t.Errorf("peers = %+v, want browser-1, offered to by us", peers)
	}
}

// TestViewerOffers: the agent, as viewer, offers to a master that is the official SDK and answers with a picture and a tone.
func TestViewerOffers(t *testing.T) {
	service := startKVS(t)
	arn := create(t, service.URL, "pull")
	sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleMaster, send: true}.join(t, "answer")
	agent := startAgent(t, environment(keys...), service.URL, "", `channels: {pull: {role: viewer, client_id: agent-1}}`)
	receives(t, agent, "pull")
}

// TestViewerAnswers: the agent, as viewer, answers the offer of a master that is the official SDK.
func TestViewerAnswers(t *testing.T) {
	service := startKVS(t)
	arn := create(t, service.URL, "wait")
	agent := startAgent(t, environment(keys...), service.URL, "", `channels: {wait: {role: viewer, client_id: agent-1, wait_for_offer: true}}`)
	agent.connected(t, "wait")
	sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleMaster, send: true, offerTo: "agent-1"}.join(t, "offer")
	receives(t, agent, "wait")
}

// receives waits until the agent gets a second of video and of audio over the channel.
func receives(t *testing.T, a *agent, channel string) {
	t.Helper()
	eventually(t, 30*time.Second, "the agent receives 25 frames of video, a key frame among them, and 25 of audio", func() (bool, any) {
		var video, audio bool
		peers := a.channel(t, channel).Peers
		for _, peer := range peers {
			for _, track := range peer.Receiving {
				video = video || track.KeyFrames > 0 && track.Frames >= 25
				audio = audio || strings.EqualFold(track.Codec, "opus") && track.Frames+track.Packets >= 25
			}
		}
		return video && audio, fmt.Sprintf("%+v", peers)
	})
}
