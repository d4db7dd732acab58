package signaling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The types of frames that only the service sends (KVS dev guide, "Asynchronous message reception").
const (
	goAway         MessageType = "GO_AWAY"
	reconnectICE   MessageType = "RECONNECT_ICE_SERVER"
	statusResponse MessageType = "STATUS_RESPONSE"
)

const (
	maxFrame       = 64 << 10 // bytes; a frame with a full payload is under 11 KB
	maxStatusChars = 1024     // KVS dev guide: a description has at most 1 K
	successStatus  = "200"
)

// outgoing is a frame to the service. Keys without a value are left out: the C SDK stumbles over null and "".
type outgoing struct {
	Action        MessageType `json:"action"`
	Recipient     string      `json:"recipientClientId,omitempty"`
	Payload       string      `json:"messagePayload"`
	CorrelationID string      `json:"correlationId,omitempty"`
}

// encode makes the frame of a checked message. The base64 is the standard padded one, the only one that every SDK reads, and < > &
// stay as they are, because the C SDK does not know \u003c.
func encode(m Message) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(outgoing{m.Type, m.ClientID, base64.StdEncoding.EncodeToString(m.Payload), m.CorrelationID})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// frame is what the service sent: a message (its payload decoded), a status, or one of the two words of advice.
type frame struct {
	Type    MessageType
	Sender  string
	Payload []byte
	Status  StatusError
}

var (
	errEmptyFrame  = errors.New("empty frame")
	errUnknownType = errors.New("unknown message type")
)

// decode reads a frame, lax on purpose: unknown keys, any case of the known ones, and every base64 that an SDK was seen to write. The
// service adds types of messages without warning; those are errUnknownType.
func decode(data []byte) (frame, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return frame{}, errEmptyFrame
	}
	var in struct {
		Type    MessageType `json:"messageType"`
		Sender  string      `json:"senderClientId"`
		Payload string      `json:"messagePayload"`
		Status  struct {
			CorrelationID text `json:"correlationId"`
			ErrorType     text `json:"errorType"`
			StatusCode    text `json:"statusCode"`
			Description   text `json:"description"`
		} `json:"statusResponse"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return frame{}, fmt.Errorf("not a message in JSON: %w", err)
	}
	f := frame{Type: in.Type}
	switch in.Type {
	case goAway, reconnectICE:
		return f, nil
	case statusResponse:
		f.Status = StatusError{
			CorrelationID: in.Status.CorrelationID.short(),
			ErrorType:     in.Status.ErrorType.short(),
			StatusCode:    in.Status.StatusCode.short(),
			Description:   in.Status.Description.short(),
		}
		return f, nil
	case SDPOffer, SDPAnswer, ICECandidate:
	case "":
		return frame{}, errors.New("no messageType")
	default:
		return frame{}, fmt.Errorf("%w %q", errUnknownType, clip(string(in.Type)))
	}
	if in.Sender != "" && !idPattern.MatchString(in.Sender) {
		return frame{}, fmt.Errorf("%s from %q: bad client id", in.Type, clip(in.Sender))
	}
	f.Sender = in.Sender
	var err error
	if f.Payload, err = decodePayload(in.Payload); err != nil {
		return frame{}, fmt.Errorf("%s from %q: %w", in.Type, in.Sender, err)
	}
	return f, nil
}

// decodePayload reads standard and URL-safe base64, padded or not: Android sends the URL-safe one, iOS reads the unpadded one.
func decodePayload(s string) ([]byte, error) {
	clean := strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(s)
	if clean == "" {
		return nil, errors.New("no messagePayload")
	}
	p, err := base64.RawStdEncoding.DecodeString(clean)
	if err != nil {
		return nil, fmt.Errorf("messagePayload is not base64: %w", err)
	}
	if !json.Valid(p) {
		return nil, errors.New("messagePayload holds no JSON")
	}
	return p, nil
}

// text is a JSON string, or a number where a string was promised.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*t = text(s)
		return nil
	}
	*t = text(b)
	return nil
}

func (t text) short() string {
	if len(t) > maxStatusChars {
		return string(t[:maxStatusChars])
	}
	return string(t)
}
