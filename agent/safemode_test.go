package agent_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/webrtc/v4"
)

// TestSafeModeRejectsDataChannels: in safe mode, and only then, the section of a viewer's offer that is for data
// channels is rejected, beside its video.
func TestSafeModeRejectsDataChannels(t *testing.T) {
	for _, safe := range []bool{false, true} {
		dir, now := t.TempDir(), time.Now()
		crashes := []time.Time{}
		if safe {
			crashes = []time.Time{now.Add(-3 * time.Second), now.Add(-2 * time.Second)} // and the one that runs still
		}
		text, err := json.Marshal(map[string]any{"running": safe, "crashes": crashes})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "crashes.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		kept, err := agent.OpenCrashes(dir)
		if err != nil || (kept.Safe() != "") != safe {
			t.Fatalf("safe mode: %q, %v; want %v", kept.Safe(), err, safe)
		}
		s := service(t)
		a := agent.New(agent.Options{Version: "test", Log: logger("agent"), Crashes: kept})
		stop := run(t, func(ctx context.Context) {
			if err := a.Run(ctx, parse(t, s, "channels:\n  gate: {source: pattern, create: true}\n"), nil); err != nil {
				t.Error(err)
			}
		})
		connected(t, a, "gate")
		answer := answerWithData(t, join(t, s, "gate", "page"))
		want := "m=application 9 "
		if safe {
			want = "m=application 0 "
		}
		if !strings.Contains(answer, want) || !strings.Contains(answer, "m=video 9 ") {
			t.Errorf("safe mode %v: want %q and the video in\n%s", safe, want, answer)
		}
		stop()
	}
}

// answerWithData offers to receive video and to open a data channel, and gives the answer.
func answerWithData(t *testing.T, r *remote) (answer string) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.CreateDataChannel("kvsDataChannel", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		t.Fatal(err)
	}
	r.send(pack(peer.Offer{SDP: offer.SDP}))
	eventually(t, "an answer has come", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.kept {
			if a, ok := unpack(t, m).(peer.Answer); ok {
				answer = a.SDP
			}
		}
		return answer != ""
	})
	return answer
}
