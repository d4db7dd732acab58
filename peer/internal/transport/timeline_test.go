package transport

import (
	"encoding/json"
	"testing"
	"time"
)

// TestOtherMessagesAreNotLaps: what is not a message of the timeline gets no answer, and nothing of it is sent back.
func TestOtherMessagesAreNotLaps(t *testing.T) {
	for _, message := range []string{
		"Opened data channel by viewer", `"text"`, `{}`, `[]`, `null`, `{"action":"TALK"}`, "",
		`{"firstMessageFromViewerTs":""}`, `{"firstMessageFromViewerTs":17}`, `{"firstMessageFromViewerTs":"now"}`,
		`{"firstMessageFromViewerTs":"-1"}`,
		`{"firstMessageFromViewerTs":"17","secondMessageFromMasterTs":"<b>"}`,
		`{"firstMessageFromViewerTs":"17","lastMessageFromViewerTs":"99999999999999999999"}`,
	} {
		if got := lapped([]byte(message), time.Now(), func() Timeline { return Timeline{} }); got != nil {
			t.Errorf("%s is answered with %v", message, got)
		}
	}
}

// TestLaps plays the viewer's side of the timeline.
func TestLaps(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	measured := func() Timeline { return Timeline{Offer: now, Connected: now.Add(time.Second)} }
	answer := func(m lap) []any {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return lapped(text, now, measured)
	}
	m := lap{Content: "viewer", ViewerFirst: "1799999999990"}
	m = answer(m)[0].(lap)
	if want := (lap{lapContent, "1799999999990", "1800000000000", "", "", ""}); m != want {
		t.Errorf("first: %+v, want %+v", m, want)
	}
	m.ViewerSecond = "1800000000001"
	m = answer(m)[0].(lap)
	if want := (lap{lapContent, "1799999999990", "1800000000000", "1800000000001", "1800000000000", ""}); m != want {
		t.Errorf("second: %+v, want %+v", m, want)
	}
	m.ViewerLast = "1800000000002"
	got := answer(m)
	if len(got) != 3 {
		t.Fatalf("%d objects at the end, want 3: %v", len(got), got)
	}
	pc := got[1].(map[string]int64)
	if pc["peerConnectionStartTime"] != 1_800_000_000_000 || pc["peerConnectionEndTime"] != 1_800_000_001_000 {
		t.Errorf("peer connection: %v", pc)
	}
	if ice := got[2].(map[string]int64); ice["candidateGatheringEndTime"] != 0 {
		t.Errorf("what was not measured is not 0: %v", ice)
	}
}
