package signaling

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Role is the side of the channel that a client takes.
type Role string

// The roles (KVS API reference, GetSignalingChannelEndpoint). A channel has one master and up to ten viewers.
const (
	Master Role = "MASTER"
	Viewer Role = "VIEWER"
)

// MessageType says what a message carries.
type MessageType string

// The messages that clients exchange (KVS dev guide, SendSdpOffer, SendSdpAnswer, SendIceCandidate).
const (
	SDPOffer     MessageType = "SDP_OFFER"
	SDPAnswer    MessageType = "SDP_ANSWER"
	ICECandidate MessageType = "ICE_CANDIDATE"
)

// Message is one message between a master and a viewer.
type Message struct {
	Type MessageType

	// ClientID is the sender of a received message and the recipient of a sent one. It is "" for the master and the
	// storage service as senders. It is required from a master to a viewer, and empty from a viewer, whose messages all
	// go to the master.
	ClientID string

	// Payload is JSON text, without the base64 that it travels in. A received one is what the other side wrote,
	// whatever that is.
	Payload []byte

	// CorrelationID links the service's refusal to this message. Send makes one when it is empty. It is empty on
	// receipt.
	CorrelationID string
}

// MaxPayload is the longest payload in base64 characters (KVS dev guide, Limits: 10 k). As JSON text that is
// [MaxPayloadText] bytes.
const (
	MaxPayload     = 10_000
	MaxPayloadText = MaxPayload / 4 * 3
)

// isID reports whether s is valid as channel name, client ID or correlation ID: 1 to 256 of a-z A-Z 0-9 _ . - (KVS API
// reference).
func isID(s string) bool {
	for _, c := range []byte(s) {
		if !isLetter(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isReserved reports whether a client ID is reserved: by the service, with AWS_ at its start in any case (KVS dev
// guide, ConnectAsViewer), or by masters that ask whether they are heard.
func isReserved(id string) bool {
	return len(id) >= 4 && strings.EqualFold(id[:4], "AWS_") || strings.HasPrefix(id, hearingPrefix)
}

// isRegion reports whether s looks like a region: two or more words of lower-case letters and digits, joined by
// hyphens.
func isRegion(s string) bool {
	words := strings.Split(s, "-")
	for _, w := range words {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return len(words) > 1
}

// check returns why a message may not be sent in this role, or nil. A master may leave out the recipient only when it
// sends to the storage service.
func (m Message) check(role Role, storage bool) error {
	switch m.Type {
	case SDPOffer, SDPAnswer, ICECandidate:
	default:
		return fmt.Errorf("send %q: not a message type; hint: %s, %s or %s", m.Type, SDPOffer, SDPAnswer, ICECandidate)
	}
	switch {
	case role == Viewer && m.ClientID != "":
		return fmt.Errorf("send %s to %q: a viewer's messages go to the master; hint: leave the recipient out", m.Type,
			m.ClientID)
	case role == Master && m.ClientID == "" && !storage:
		return fmt.Errorf("send %s: no recipient; hint: a master must name the viewer", m.Type)
	case m.ClientID != "" && !isID(m.ClientID):
		return fmt.Errorf("send %s to %q: bad recipient; hint: 1 to 256 of a-z A-Z 0-9 _ . -", m.Type, clip(m.ClientID))
	case m.CorrelationID != "" && !isID(m.CorrelationID):
		return fmt.Errorf("send %s: bad correlation id %q; hint: 1 to 256 of a-z A-Z 0-9 _ . -", m.Type,
			clip(m.CorrelationID))
	case len(m.Payload) == 0:
		return fmt.Errorf("send %s to %q: empty payload", m.Type, m.ClientID)
	}
	if n := base64.StdEncoding.EncodedLen(len(m.Payload)); n > MaxPayload {
		return fmt.Errorf("send %s to %q: payload is %d base64 characters, the service takes %d; hint: fewer codecs "+
			"or candidates in the SDP",
			m.Type, m.ClientID, n, MaxPayload)
	}
	if !json.Valid(m.Payload) {
		return fmt.Errorf("send %s to %q: payload is not JSON", m.Type, m.ClientID)
	}
	return nil
}

// clip shortens text written by a remote or a user, for errors and logs.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
