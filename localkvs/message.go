package localkvs

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	maxFrame   = 32 << 10 // bytes a client may send in one frame: a full payload, its envelope and keys we do not know
	maxPayload = 10_000   // characters of messagePayload
	maxID      = 256      // characters of client ids, correlation ids and channel names
)

// The kinds of message that clients send, by their action.
const (
	sdpOffer     = "SDP_OFFER"
	sdpAnswer    = "SDP_ANSWER"
	iceCandidate = "ICE_CANDIDATE"
)

// message is what a client sends. Keys match in any case and unknown ones are ignored, as by the service: the C SDK
// writes RecipientClientId and adds IceServerList. (KVS dev guide, SendSdpOffer, SendSdpAnswer, SendIceCandidate.)
type message struct {
	Action            string `json:"action"`
	RecipientClientID string `json:"recipientClientId"`
	MessagePayload    string `json:"messagePayload"`
	CorrelationID     string `json:"correlationId"`
}

// parseMessage parses a frame. Even with an error, the message holds what could be parsed, so that the error can be
// sent back.
func parseMessage(frame []byte) (message, *apiError) {
	var m message
	if err := json.Unmarshal(frame, &m); err != nil {
		return m, invalidArgument("message is not a JSON object of strings")
	}
	switch {
	case m.Action != sdpOffer && m.Action != sdpAnswer && m.Action != iceCandidate:
		return m, invalidArgument("action %.40q must be SDP_OFFER, SDP_ANSWER or ICE_CANDIDATE", m.Action)
	case m.CorrelationID != "" && !isID(m.CorrelationID):
		return m, invalidArgument("correlationId must match [a-zA-Z0-9_.-]{1,256}")
	case m.MessagePayload == "" || len(m.MessagePayload) > maxPayload:
		return m, invalidArgument("messagePayload must have 1 to %d characters, not %d", maxPayload,
			len(m.MessagePayload))
	case !isBase64(m.MessagePayload):
		return m, invalidArgument("messagePayload is not base64")
	}
	return m, nil
}

// relayed is what a client receives. A message from the master has no sender. (KVS dev guide, "Asynchronous message
// reception".)
type relayed struct {
	SenderClientID string          `json:"senderClientId,omitempty"`
	MessageType    string          `json:"messageType"`
	MessagePayload string          `json:"messagePayload,omitempty"`
	StatusResponse *statusResponse `json:"statusResponse,omitempty"`
}

// statusResponse tells a sender what was wrong. The correlation id comes first, no field is empty and the code is made
// of digits: the C SDK's parser needs all three.
type statusResponse struct {
	CorrelationID string `json:"correlationId"`
	Success       bool   `json:"success"`
	ErrorType     string `json:"errorType"`
	StatusCode    string `json:"statusCode"`
	Description   string `json:"description"`
}

// encode encodes one line of JSON without escaping <, > and &, since the C SDK does not undo such escapes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("localkvs: " + err.Error()) // only our own types
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// isBase64 accepts the standard and the URL-safe alphabet, padded or not: SDKs send all of them.
func isBase64(s string) bool {
	body := strings.TrimRight(s, "=")
	return body != "" && len(s)-len(body) <= 2 && len(body)%4 != 1 && onlyOf(body, func(c byte) bool {
		return alphanumeric(c) || c == '+' || c == '/' || c == '-' || c == '_'
	})
}
