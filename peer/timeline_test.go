package peer_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// TestProfileTimeline plays AWS's test page with its profile timeline: the master writes its times into the message
// that goes to and fro, and tells in the end what it has measured, in the order in which it came about.
func TestProfileTimeline(t *testing.T) {
	start := time.Now()
	p := newPage(t)
	p.call(t, peer.Config{Engine: engine(t), Broadcast: pattern(t), Signaling: func() (_, _ time.Time) {
		return start.Add(-2 * time.Second), start.Add(-time.Second)
	}})
	p.take(t, p.answer(t))
	select {
	case <-p.open:
	case <-time.After(20 * time.Second):
		t.Fatal("the data channel does not open")
	}
	say := func(m map[string]any) {
		text, err := json.Marshal(m)
		if err == nil {
			err = p.data.SendText(string(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hear := func() (m map[string]any) {
		if err := json.Unmarshal([]byte(p.message(t)), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := map[string]any{"content": "Opened data channel by viewer"}
	for _, field := range []string{"firstMessageFromMasterTs", "secondMessageFromViewerTs",
		"secondMessageFromMasterTs", "lastMessageFromViewerTs"} {
		m[field] = ""
	}
	m["firstMessageFromViewerTs"] = "1800000000000"
	say(m)
	if m = hear(); m["firstMessageFromMasterTs"] == "" || m["secondMessageFromMasterTs"] != "" {
		t.Fatalf("the first answer: %v", m)
	}
	m["secondMessageFromViewerTs"] = "1800000000001"
	say(m)
	if m = hear(); m["secondMessageFromMasterTs"] == "" || m["firstMessageFromViewerTs"] != "1800000000000" {
		t.Fatalf("the second answer: %v", m)
	}
	m["lastMessageFromViewerTs"] = "1800000000002"
	say(m)
	all := map[string]float64{}
	for range 3 {
		for field, at := range hear() {
			all[field] = at.(float64)
		}
	}
	before := 0.0
	for _, field := range []string{"signalingStartTime", "signalingEndTime", "offerReceiptTime", "sendAnswerTime",
		"candidateGatheringStartTime", "candidateGatheringEndTime"} {
		if all[field] < before || all[field] == 0 {
			t.Errorf("%s is %.0f, after %.0f: %v", field, all[field], before, all)
		}
		before = all[field]
	}
	if now := float64(time.Now().UnixMilli()); all["peerConnectionEndTime"] < all["sendAnswerTime"] ||
		all["peerConnectionEndTime"] > now {
		t.Errorf("connected at %.0f, now it is %.0f", all["peerConnectionEndTime"], now)
	}
}
