package agent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/webrtc/v4"
)

// TestRefusedViewerIsToldOverItsDataChannel: a viewer beyond max_viewers reads the reason, and does not count.
func TestRefusedViewerIsToldOverItsDataChannel(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, "channels:\n  gate: {source: pattern, create: true, max_viewers: 1}\n"))
	first := join(t, s, "gate", "first").watch()
	first.plays(t, 5)

	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	d, err := pc.CreateDataChannel("kvsDataChannel", nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	d.OnMessage(func(m webrtc.DataChannelMessage) { told <- string(m.Data) })
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		t.Fatal(err)
	}
	second := join(t, s, "gate", "second")
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			init := c.ToJSON()
			second.send(pack(peer.Candidate{Candidate: init.Candidate, SDPMid: init.SDPMid,
				SDPMLineIndex: init.SDPMLineIndex}))
		}
	})
	second.send(pack(peer.Offer{SDP: offer.SDP}))
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	var answer string
	eventually(t, "an answer has come", func() bool {
		second.mu.Lock()
		defer second.mu.Unlock()
		for _, m := range second.kept {
			if a, ok := unpack(t, m).(peer.Answer); ok {
				answer = a.SDP
			}
		}
		return answer != ""
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-told:
		if !strings.HasPrefix(text, `{"action":"REFUSED","reason":"`) || !strings.Contains(text, "max_viewers") {
			t.Errorf("the viewer was told %s", text)
		}
	case <-time.After(patience):
		t.Fatal("the viewer was told nothing")
	}
	if p := session(t, a, "gate"); p.ClientID != "first" {
		t.Errorf("session = %+v, want the first viewer's alone", p)
	}
	first.plays(t, 5)
}

// TestManyAtOnce: more viewers than may connect at the same time come in one moment, as after an outage. The others
// wait for their turn instead of being sent away.
func TestManyAtOnce(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate+"limits: {max_pending: 1}\n"))
	var viewers []*view
	for i := range 5 {
		viewers = append(viewers, join(t, s, "gate", fmt.Sprint("v", i)).watch())
	}
	for _, v := range viewers {
		v.plays(t, 3)
	}
	if c := channel(a, "gate"); c.EndedBy["refused"] > 0 || len(c.Ended) > 0 {
		t.Errorf("sessions ended: %+v", c.Ended)
	}
}
