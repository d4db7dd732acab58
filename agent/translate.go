package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// Only this file knows both signaling.Message and peer.Signal. The payloads are the JSON of a browser's
// RTCSessionDescription and RTCIceCandidate, which is what all KVS clients send.

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type candidate struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid,omitempty"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex,omitempty"`
	UsernameFragment *string `json:"usernameFragment,omitempty"`
}

// toMessage packs a signal for a client. A viewer leaves to empty.
func toMessage(s peer.Signal, to string) (signaling.Message, error) {
	m := signaling.Message{ClientID: to}
	var payload any
	switch s := s.(type) {
	case peer.Offer:
		m.Type, payload = signaling.SDPOffer, description{"offer", s.SDP}
	case peer.Answer:
		m.Type, payload = signaling.SDPAnswer, description{"answer", s.SDP}
	case peer.Candidate:
		m.Type, payload = signaling.ICECandidate, candidate{s.Candidate, s.SDPMid, s.SDPMLineIndex, s.UsernameFragment}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the KVS C SDK does not understand \u escapes
	if err := e.Encode(payload); err != nil {
		return m, fmt.Errorf("pack %s: %w", m.Type, err)
	}
	m.Payload = bytes.TrimSpace(b.Bytes())
	return m, nil
}

// candidatesMost is how many candidates one message may hold.
const candidatesMost = 32

// toSignals unpacks a message: one description, or candidates. An empty candidate, which some clients send at the end,
// is none.
func toSignals(m signaling.Message) ([]peer.Signal, error) {
	switch m.Type {
	case signaling.SDPOffer, signaling.SDPAnswer:
		text, err := descriptionIn(m.Payload)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Type, err)
		}
		if m.Type == signaling.SDPOffer {
			return []peer.Signal{peer.Offer{SDP: text}}, nil
		}
		return []peer.Signal{peer.Answer{SDP: text}}, nil
	case signaling.ICECandidate:
		var out []peer.Signal
		err := candidatesIn(m.Payload, 0, func(c peer.Candidate) {
			if len(out) < candidatesMost {
				out = append(out, c)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Type, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s: unknown message type", m.Type)
}

// descriptionIn finds the session description in a payload: under "sdp", in the description of a description, as
// clients write that send an event as it is, or as plain text.
func descriptionIn(payload []byte) (string, error) {
	text := bytes.TrimSpace(payload)
	if bytes.HasPrefix(text, []byte("v=0")) {
		return string(payload), nil
	}
	var inner string
	if json.Unmarshal(text, &inner) == nil { // encoded twice
		text = []byte(inner)
		if strings.HasPrefix(strings.TrimSpace(inner), "v=0") {
			return inner, nil
		}
	}
	var d struct {
		SDP json.RawMessage `json:"sdp"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return "", fmt.Errorf("payload is not a session description: %w; it begins with %.40q", err, text)
	}
	var sdp string
	if err := json.Unmarshal(d.SDP, &sdp); err != nil {
		var nested description
		if json.Unmarshal(d.SDP, &nested) != nil {
			return "", errors.New("payload has no text under \"sdp\"")
		}
		sdp = nested.SDP
	}
	if sdp == "" {
		return "", errors.New("payload has no \"sdp\"")
	}
	return sdp, nil
}

// candidatesIn finds the candidates in a payload. Only the text of a candidate is needed: with one transport for all
// sections it does not matter which section it names, and clients name it in many ways (a number for the mid, text or
// -1 for the index).
func candidatesIn(payload []byte, depth int, found func(peer.Candidate)) error {
	payload = bytes.TrimSpace(payload)
	if depth > 3 || len(payload) == 0 {
		return errors.New("payload has no candidate")
	}
	switch payload[0] {
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(payload, &list); err != nil {
			return fmt.Errorf("payload is not a list of candidates: %w", err)
		}
		for _, one := range list {
			if err := candidatesIn(one, depth+1, found); err != nil {
				return err
			}
		}
		return nil
	case '{':
		var c struct {
			Candidate        json.RawMessage `json:"candidate"`
			SDPMid           json.RawMessage `json:"sdpMid"`
			SDPMLineIndex    json.RawMessage `json:"sdpMLineIndex"`
			UsernameFragment json.RawMessage `json:"usernameFragment"`
		}
		if err := json.Unmarshal(payload, &c); err != nil {
			return fmt.Errorf("payload is not a candidate: %w", err)
		}
		if c.Candidate == nil {
			return errors.New("payload has no \"candidate\"")
		}
		var text, ufrag string
		if json.Unmarshal(c.Candidate, &text) != nil { // null and an object, too
			if string(c.Candidate) == "null" {
				return nil
			}
			return candidatesIn(c.Candidate, depth+1, found)
		}
		_ = json.Unmarshal(c.UsernameFragment, &ufrag)
		candidateLines(text, ufrag, func(one peer.Candidate) {
			one.SDPMid, one.SDPMLineIndex = sectionNamed(c.SDPMid, c.SDPMLineIndex)
			found(one)
		})
		return nil
	case '"':
		var text string
		if err := json.Unmarshal(payload, &text); err != nil {
			return fmt.Errorf("payload is not a candidate: %w", err)
		}
		if t := strings.TrimSpace(text); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
			return candidatesIn([]byte(t), depth+1, found)
		}
		candidateLines(text, "", found)
		return nil
	}
	if text := string(payload); strings.HasPrefix(text, "candidate:") || strings.HasPrefix(text, "a=candidate:") {
		candidateLines(text, "", found)
		return nil
	}
	return fmt.Errorf("payload is not a candidate: it begins with %.40q", payload)
}

// sectionNamed is the section that a candidate names, for a browser that insists on one; the first, when it names none
// in earnest.
func sectionNamed(rawMid, rawIndex json.RawMessage) (mid *string, index *uint16) {
	var text string
	if json.Unmarshal(rawMid, &text) == nil && rawMid != nil && string(rawMid) != "null" {
		mid = &text
	} else if n := strings.TrimSpace(string(rawMid)); n != "" && n != "null" {
		mid = &n
	}
	if n, err := strconv.ParseUint(strings.Trim(string(rawIndex), "\" "), 10, 16); err == nil {
		line := uint16(n)
		index = &line
	}
	if mid == nil && index == nil {
		index = new(uint16)
	}
	return mid, index
}

// candidateLines are the candidates of a text, one a line.
func candidateLines(text, ufrag string, found func(peer.Candidate)) {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(strings.TrimPrefix(line, "a="), "end-of-") {
			continue
		}
		c := peer.Candidate{Candidate: line}
		if ufrag != "" {
			c.UsernameFragment = &ufrag
		}
		found(c)
	}
}
