package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestCandidatesBeforeTheOffer: the service does not promise an order between an offer and its candidates.
func TestCandidatesBeforeTheOffer(t *testing.T) {
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", `
sources: {test: {url: "testpattern:"}}
channels: {early: {source: test, create: true}}
`)
	viewer := rig.SDK{ARN: agent.Connected(t, "early"), Endpoint: service.URL, Role: types.ChannelRoleViewer,
		ClientID: "browser-1", CandidatesFirst: true}.Join(t, "offer")
	viewer.Moves(20)
}

// TestMasterOffers: the agent, as master, offers to a viewer that is the official SDK and answers.
func TestMasterOffers(t *testing.T) {
	service := rig.StartKVS(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	arn := rig.CreateChannel(t, service.URL, "push")
	viewer := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer, ClientID: "browser-1"}.Join(t,
		"answer")
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: %q}}
channels: {push: {source: gate, offer_to: [browser-1]}}
`, cam.URL()))
	viewer.Plays(3*rig.CameraFPS, rig.CameraWidth, rig.CameraHeight, "audio/opus")
	viewer.ShowsBars(t, "#remote")
	peers := agent.Channel(t, "push").Peers
	if len(peers) != 1 || peers[0].ClientID != "browser-1" || peers[0].Offerer != "us" {
		t.Errorf("peers = %+v, want browser-1, offered to by us", peers)
	}
}

// TestViewerOffers: the agent, as viewer, offers to a master that is the official SDK and answers with a picture and a
// tone.
func TestViewerOffers(t *testing.T) {
	service := rig.StartKVS(t)
	arn := rig.CreateChannel(t, service.URL, "pull")
	rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleMaster, Send: true}.Join(t, "answer")
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "",
		`channels: {pull: {role: viewer, client_id: agent-1}}`)
	receives(t, agent, "pull")
}

// TestViewerAnswers: the agent, as viewer, answers the offer of a master that is the official SDK.
func TestViewerAnswers(t *testing.T) {
	service := rig.StartKVS(t)
	arn := rig.CreateChannel(t, service.URL, "wait")
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "",
		`channels: {wait: {role: viewer, client_id: agent-1, wait_for_offer: true}}`)
	agent.Connected(t, "wait")
	rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleMaster, Send: true, OfferTo: "agent-1"}.Join(t,
		"offer")
	receives(t, agent, "wait")
}

// receives waits until the agent gets a second of video and of audio over the channel.
func receives(t *testing.T, a *rig.Agent, channel string) {
	t.Helper()
	rig.Eventually(t, 30*time.Second, "the agent receives 25 frames of video, a key frame among them, and 25 of audio",
		func() (bool, any) {
			var video, audio bool
			peers := a.Channel(t, channel).Peers
			for _, peer := range peers {
				for _, track := range peer.Receiving {
					video = video || track.KeyFrames > 0 && track.Frames >= 25
					audio = audio || strings.EqualFold(track.Codec, "opus") && track.Frames+track.Packets >= 25
				}
			}
			return video && audio, fmt.Sprintf("%+v", peers)
		})
}
