package transport

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/pion/webrtc/v4"
)

// AWS's test page can draw a timeline of how a session came about ("profile timeline"). It asks the master over its
// data channel: a message goes to and fro, each side writes the time into the next field that is its own, and after the
// viewer's last the master tells what it has measured, in three objects.

// lap is the message that goes to and fro. Times are milliseconds since 1970, in digits; "" is not yet.
type lap struct {
	Content      string `json:"content"`
	ViewerFirst  string `json:"firstMessageFromViewerTs"`
	MasterFirst  string `json:"firstMessageFromMasterTs"`
	ViewerSecond string `json:"secondMessageFromViewerTs"`
	MasterSecond string `json:"secondMessageFromMasterTs"`
	ViewerLast   string `json:"lastMessageFromViewerTs"`
}

// Timeline is what the master has measured, by its own clock. A zero time is a step that was not taken.
type Timeline struct {
	SignalingStart, SignalingEnd time.Time // from the first call until messages can come
	Offer, Answer                time.Time // received, sent
	Connected                    time.Time
	GatheringEnd                 time.Time // of candidates; it begins with the answer
}

const lapContent = "kvsagent"

// objects are the three that the page reads, by the names of their fields.
func (t Timeline) objects() []map[string]int64 {
	return []map[string]int64{
		{
			"signalingStartTime": epoch(t.SignalingStart), "signalingEndTime": epoch(t.SignalingEnd),
			"offerReceiptTime": epoch(t.Offer), "sendAnswerTime": epoch(t.Answer),
			// One channel's calls serve all its viewers: no session has any of its own.
			"describeChannelStartTime": 0, "describeChannelEndTime": 0,
			"getSignalingChannelEndpointStartTime": 0, "getSignalingChannelEndpointEndTime": 0,
			"getIceServerConfigStartTime": 0, "getIceServerConfigEndTime": 0,
			"getTokenStartTime": 0, "getTokenEndTime": 0,
			"createChannelStartTime": 0, "createChannelEndTime": 0,
			"connectStartTime": epoch(t.SignalingStart), "connectEndTime": epoch(t.SignalingEnd),
		},
		{"peerConnectionStartTime": epoch(t.Offer), "peerConnectionEndTime": epoch(t.Connected)},
		{"candidateGatheringStartTime": epoch(t.Answer), "candidateGatheringEndTime": epoch(t.GatheringEnd)},
	}
}

func epoch(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// lapped answers a message of the timeline; nil is another message, which we have no use for.
func lapped(message []byte, now time.Time, measured func() Timeline) (answers []any) {
	var m lap
	if json.Unmarshal(message, &m) != nil || !stamp(m.ViewerFirst) {
		return nil
	}
	for _, at := range []string{m.MasterFirst, m.ViewerSecond, m.MasterSecond, m.ViewerLast} {
		if at != "" && !stamp(at) { // it would be sent back
			return nil
		}
	}
	m.Content = lapContent
	switch at := strconv.FormatInt(now.UnixMilli(), 10); {
	case m.ViewerLast != "":
		for _, o := range measured().objects() {
			answers = append(answers, o)
		}
		return answers
	case m.MasterFirst == "":
		m.MasterFirst = at
	case m.MasterSecond == "":
		m.MasterSecond = at
	}
	return []any{m}
}

// stamp says whether a text is a time in milliseconds.
func stamp(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0
}

// lap answers what came on a data channel, when it belongs to the timeline. A remote that does not read gets nothing.
func (in *Inbound) lap(d *webrtc.DataChannel, message []byte) {
	defer in.contain("data channels")
	if in.Measured == nil {
		return
	}
	for _, answer := range lapped(message, time.Now(), in.Measured) {
		if d.BufferedAmount() > unreadMost {
			return
		}
		if text, err := json.Marshal(answer); err != nil || d.SendText(string(text)) != nil {
			return
		}
	}
}
