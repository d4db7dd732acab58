package rig

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/gorilla/websocket"
)

// Raw is a viewer that sends whatever a test wants, over a WebSocket signed by AWS's own signer.
type Raw struct {
	t    testing.TB
	Conn *websocket.Conn
}

// text sends one frame as it is.
func (r *Raw) text(frame string) {
	r.t.Helper()
	if err := r.Conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		r.t.Fatalf("send: %v", err)
	}
}

// Message sends one that is well formed but for its payload, which is encoded here.
func (r *Raw) Message(action, payload string) {
	r.t.Helper()
	frame, err := json.Marshal(map[string]string{
		"action": action, "messagePayload": base64.StdEncoding.EncodeToString([]byte(payload)),
		"correlationId": "raw-1",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.text(string(frame))
}

// Refused waits for the service's word that it did not take a message.
func (r *Raw) Refused() (errorType string) {
	r.t.Helper()
	_ = r.Conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		var m struct {
			MessageType    string `json:"messageType"`
			StatusResponse struct {
				ErrorType string `json:"errorType"`
			} `json:"statusResponse"`
		}
		if err := r.Conn.ReadJSON(&m); err != nil {
			r.t.Fatalf("no STATUS_RESPONSE: %v", err)
		}
		if m.MessageType == "STATUS_RESPONSE" {
			return m.StatusResponse.ErrorType
		}
	}
}

// DialRaw connects to a channel as a viewer. controlURL is that of the control plane.
func DialRaw(t testing.TB, controlURL, arn, clientID string) *Raw {
	t.Helper()
	address := Endpoint(t, controlURL, "", arn, types.ChannelRoleViewer)
	query := url.Values{"X-Amz-ChannelARN": {arn}, "X-Amz-ClientId": {clientID}, "X-Amz-Expires": {"299"}}
	req, err := http.NewRequest(http.MethodGet, address+"/?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	creds := aws.Credentials{AccessKeyID: "localkvs", SecretAccessKey: "localkvs"}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, req, emptyHash, "kinesisvideo", Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), signed, nil)
	if err != nil {
		t.Fatalf("connect as %s: %v %v", clientID, err, resp)
	}
	t.Cleanup(func() { conn.Close() })
	return &Raw{t, conn}
}
