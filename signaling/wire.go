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

// outgoing is a frame to the service. Keys without a value are omitted: the C SDK fails on null and "".
type outgoing struct {
	Action        MessageType `json:"action"`
	Recipient     string      `json:"recipientClientId,omitempty"`
	Payload       string      `json:"messagePayload"`
	CorrelationID string      `json:"correlationId,omitempty"`
}

// encode makes the frame of a checked message. It uses padded standard base64, the only kind that every SDK reads. It
// does not escape < > &, because the C SDK does not know \u003c.
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

// frame is a frame from the service: a message (with decoded payload), a status, GO_AWAY or RECONNECT_ICE_SERVER.
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

// decode reads a frame leniently: it accepts unknown keys, any case of the known ones, any value under a key that this
// type of frame does not need, and every base64 that an SDK was seen to write. The service adds types of messages
// without notice; those return errUnknownType.
func decode(data []byte) (frame, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return frame{}, errEmptyFrame
	}
	var in incoming
	if err := json.Unmarshal(data, &in); err != nil {
		return frame{}, fmt.Errorf("not a message in JSON: %w", err)
	}
	switch in.Type {
	case goAway, reconnectICE:
		return frame{Type: in.Type}, nil
	case statusResponse:
		return in.status()
	case SDPOffer, SDPAnswer, ICECandidate:
		return in.message()
	case "":
		return frame{}, errors.New("no messageType")
	}
	return frame{}, fmt.Errorf("%w %q", errUnknownType, clip(string(in.Type)))
}

// incoming is the envelope. Its fields are read when the type needs them.
type incoming struct {
	Type    MessageType     `json:"messageType"`
	Sender  json.RawMessage `json:"senderClientId"`
	Payload json.RawMessage `json:"messagePayload"`
	Status  json.RawMessage `json:"statusResponse"`
}

func (in *incoming) message() (frame, error) {
	f := frame{Type: in.Type}
	var payload string
	if err := unmarshal(in.Sender, &f.Sender); err != nil || f.Sender != "" && !isID(f.Sender) {
		return frame{}, fmt.Errorf("%s from %.80q: bad client id", in.Type, in.Sender)
	}
	err := unmarshal(in.Payload, &payload)
	if err == nil {
		f.Payload, err = decodePayload(payload)
	}
	if err != nil {
		return frame{}, fmt.Errorf("%s from %q: %w", in.Type, f.Sender, err)
	}
	return f, nil
}

func (in *incoming) status() (frame, error) {
	var s struct {
		CorrelationID text `json:"correlationId"`
		Success       text `json:"success"`
		ErrorType     text `json:"errorType"`
		StatusCode    text `json:"statusCode"`
		Description   text `json:"description"`
	}
	if err := unmarshal(in.Status, &s); err != nil {
		return frame{}, fmt.Errorf("%s: %w", in.Type, err)
	}
	if s.Success == "true" {
		s.StatusCode = successStatus
	}
	return frame{Type: in.Type, Status: StatusError{
		CorrelationID: s.CorrelationID.short(),
		ErrorType:     s.ErrorType.short(),
		StatusCode:    s.StatusCode.short(),
		Description:   s.Description.short(),
	}}, nil
}

// unmarshal leaves to unchanged when the key was absent.
func unmarshal(raw json.RawMessage, to any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, to)
}

// decodePayload reads standard and URL-safe base64, padded or not: Android sends the URL-safe kind, iOS reads the
// unpadded one. Some encode twice. What is in it is the owner's to judge; a byte order mark and zeros at its ends are
// not.
func decodePayload(s string) ([]byte, error) {
	p, err := decodeBase64(s)
	if err != nil {
		return nil, err
	}
	if again, err := decodeBase64(string(p)); err == nil && !isJSON(p) && isJSON(again) {
		p = again
	}
	return bytes.Trim(bytes.TrimPrefix(bytes.Trim(p, "\x00"), []byte("\ufeff")), "\x00"), nil
}

// isJSON reports whether p is an object or an array.
func isJSON(p []byte) bool {
	p = bytes.TrimSpace(bytes.TrimPrefix(p, []byte("\ufeff")))
	return len(p) > 0 && (p[0] == '{' || p[0] == '[')
}

func decodeBase64(s string) ([]byte, error) {
	clean := strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(s)
	if clean == "" {
		return nil, errors.New("no messagePayload")
	}
	p, err := base64.RawStdEncoding.DecodeString(clean)
	if err != nil {
		return nil, fmt.Errorf("messagePayload is not base64: %w", err)
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
