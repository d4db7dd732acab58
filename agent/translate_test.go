package agent

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// TestCandidatesAsClientsWriteThem: only the text of a candidate is needed.
func TestCandidatesAsClientsWriteThem(t *testing.T) {
	const one = "candidate:1 1 udp 2122260223 192.0.2.7 4000 typ host"
	for name, tt := range map[string]struct {
		payload string
		want    []string
		mid     string // and index, as "mid/index"
	}{
		"browser":      {`{"candidate":"` + one + `","sdpMid":"0","sdpMLineIndex":0}`, []string{one}, "0/0"},
		"text index":   {`{"candidate":"` + one + `","sdpMid":"a","sdpMLineIndex":"1"}`, []string{one}, "a/1"},
		"index -1":     {`{"candidate":"` + one + `","sdpMid":"a","sdpMLineIndex":-1}`, []string{one}, "a/-"},
		"number mid":   {`{"candidate":"` + one + `","sdpMid":2}`, []string{one}, "2/-"},
		"nothing else": {`{"candidate":"` + one + `"}`, []string{one}, "-/0"},
		"nulls":        {`{"candidate":"` + one + `","sdpMid":null,"sdpMLineIndex":null}`, []string{one}, "-/0"},
		"odd ufrag":    {`{"candidate":"` + one + `","usernameFragment":7}`, []string{one}, "-/0"},
		"nested": {`{"candidate":{"candidate":"` + one + `","sdpMid":"0","sdpMLineIndex":0}}`, []string{one},
			"0/0"},
		"list": {`[{"candidate":"` + one + `"},{"candidate":"a=` + one + `"}]`, []string{one, "a=" + one},
			"-/0"},
		"a= (libdatachannel)": {`{"candidate":"a=` + one + `","mid":"0"}`, []string{"a=" + one}, "-/0"},
		"line end":            {`{"candidate":"` + one + `\r\n"}`, []string{one}, "-/0"},
		"two lines": {`{"candidate":"a=` + one + `\r\na=` + one + `\r\na=end-of-candidates"}`,
			[]string{"a=" + one, "a=" + one}, "-/0"},
		"text":            {`"` + one + `"`, []string{one}, ""},
		"plain text":      {one, []string{one}, ""},
		"encoded twice":   {`"{\"candidate\":\"` + one + `\"}"`, []string{one}, "-/0"},
		"the end":         {`{"candidate":""}`, nil, ""},
		"the end as null": {`{"candidate":null}`, nil, ""},
	} {
		signals, err := toSignals(candidateMessage(tt.payload))
		if err != nil || len(signals) != len(tt.want) {
			t.Errorf("%s: %v, %v", name, signals, err)
			continue
		}
		for i, want := range tt.want {
			c := signals[i].(peer.Candidate)
			if c.Candidate != want {
				t.Errorf("%s: %q, want %q", name, c.Candidate, want)
			}
			if got := named(c); tt.mid != "" && got != tt.mid {
				t.Errorf("%s: section %s, want %s", name, got, tt.mid)
			}
		}
	}
	deep := strings.Repeat(`{"candidate":`, 5) + `"x"` + strings.Repeat("}", 5)
	for _, bad := range []string{``, `{}`, `7`, `hello`, `{"candidate":7}`, strings.Repeat("[", 100), deep} {
		if signals, err := toSignals(candidateMessage(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, signals)
		}
	}
	flood := "[" + strings.Repeat(`"`+one+`",`, 500) + `"` + one + `"]`
	if signals, _ := toSignals(candidateMessage(flood)); len(signals) != candidatesMost {
		t.Errorf("%d candidates of one message", len(signals))
	}
}

func candidateMessage(payload string) signaling.Message {
	return signaling.Message{Type: signaling.ICECandidate, ClientID: "v", Payload: []byte(payload)}
}

func named(c peer.Candidate) string {
	mid, index := "-", "-"
	if c.SDPMid != nil {
		mid = *c.SDPMid
	}
	if c.SDPMLineIndex != nil {
		index = string(rune('0' + *c.SDPMLineIndex))
	}
	return mid + "/" + index
}

// TestDescriptionsAsClientsWriteThem: JSON, JSON in JSON, or the text alone.
func TestDescriptionsAsClientsWriteThem(t *testing.T) {
	const text, inJSON = "v=0\r\ns=-\r\n", `v=0\r\ns=-\r\n`
	for name, payload := range map[string]string{
		"browser":       `{"type":"offer","sdp":"` + inJSON + `"}`,
		"no type":       `{"sdp":"` + inJSON + `"}`,
		"odd type":      `{"type":7,"sdp":"` + inJSON + `"}`,
		"nested":        `{"sdp":{"type":"offer","sdp":"` + inJSON + `"}}`,
		"encoded twice": `"{\"type\":\"offer\",\"sdp\":\"v=0\\r\\ns=-\\r\\n\"}"`,
		"text in JSON":  `"` + inJSON + `"`,
		"plain text":    text,
	} {
		signals, err := toSignals(signaling.Message{Type: signaling.SDPOffer, ClientID: "v", Payload: []byte(payload)})
		if err != nil || len(signals) != 1 || signals[0].(peer.Offer).SDP != text {
			t.Errorf("%s: %q, %v", name, signals, err)
		}
	}
	for _, bad := range []string{``, `{}`, `7`, `hello`, `{"sdp":""}`, `{"sdp":7}`, `[]`} {
		if signals, err := toSignals(signaling.Message{Type: signaling.SDPOffer, Payload: []byte(bad)}); err == nil {
			t.Errorf("%q: %v, want an error", bad, signals)
		}
	}
}
