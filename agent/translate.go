package agent

import (
	"bytes"
	"encoding/json"
	"fmt"

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

// toSignal unpacks a message. For an empty candidate, which some clients send at the end, it returns nil and no error.
func toSignal(m signaling.Message) (peer.Signal, error) {
	switch m.Type {
	case signaling.SDPOffer, signaling.SDPAnswer:
		var d description
		if err := json.Unmarshal(m.Payload, &d); err != nil {
			return nil, fmt.Errorf("%s: payload is not a session description: %w", m.Type, err)
		}
		if d.SDP == "" {
			return nil, fmt.Errorf("%s: payload has no \"sdp\"", m.Type)
		}
		if m.Type == signaling.SDPOffer {
			return peer.Offer{SDP: d.SDP}, nil
		}
		return peer.Answer{SDP: d.SDP}, nil
	case signaling.ICECandidate:
		var c candidate
		if err := json.Unmarshal(m.Payload, &c); err != nil {
			return nil, fmt.Errorf("%s: payload is not a candidate: %w", m.Type, err)
		}
		if c.Candidate == "" {
			return nil, nil
		}
		return peer.Candidate{Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex,
			UsernameFragment: c.UsernameFragment}, nil
	}
	return nil, fmt.Errorf("%s: unknown message type", m.Type)
}
