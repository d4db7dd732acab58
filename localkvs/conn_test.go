package localkvs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a test waits for an event. A longer wait proves nothing.
const patience = 10 * time.Second

// conn is a client's end of a connection.
type conn struct {
	t *testing.T
	*websocket.Conn
}

// received is every key that a frame of the service may have.
type received struct {
	SenderClientID *string `json:"senderClientId"`
	MessageType    string  `json:"messageType"`
	MessagePayload string  `json:"messagePayload"`
	StatusResponse *struct {
		CorrelationID string `json:"correlationId"`
		Success       bool   `json:"success"`
		ErrorType     string `json:"errorType"`
		StatusCode    string `json:"statusCode"`
		Description   string `json:"description"`
	} `json:"statusResponse"`
}

func (c *conn) send(frame string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func message(action, to, payload, correlation string) string {
	return fmt.Sprintf(`{"action":%q,"recipientClientId":%q,"messagePayload":%q,"correlationId":%q}`, action, to,
		payload, correlation)
}

// next returns the next frame, which must come.
func (c *conn) next() received {
	c.t.Helper()
	var r received
	if err := json.Unmarshal([]byte(c.text()), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *conn) text() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	_, frame, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(frame)
}

// wants compares the next frame with sender (- for none), type and payload.
func (c *conn) wants(sender, kind, payload string) {
	c.t.Helper()
	r := c.next()
	from := "-"
	if r.SenderClientID != nil {
		from = *r.SenderClientID
	}
	if from != sender || r.MessageType != kind || r.MessagePayload != payload {
		c.t.Errorf("got %s from %s: %q, want %s from %s: %q", r.MessageType, from, r.MessagePayload, kind, sender,
			payload)
	}
}

// refused sends a message and returns the type and code of the STATUS_RESPONSE, which must be the next frame.
func (c *conn) refused(frame string) string {
	c.t.Helper()
	c.send(frame)
	r := c.next()
	if r.MessageType != "STATUS_RESPONSE" || r.StatusResponse == nil {
		c.t.Fatalf("got %+v, want a STATUS_RESPONSE", r)
	}
	if r.StatusResponse.Success || r.StatusResponse.Description == "" {
		c.t.Errorf("got %+v, want no success and a description", *r.StatusResponse)
	}
	return r.StatusResponse.CorrelationID + " " + r.StatusResponse.ErrorType + " " + r.StatusResponse.StatusCode
}

// closed reads until the connection ends, and returns how it ended.
func (c *conn) closed() error {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return err
		}
	}
}

func (c *conn) wantsClose(code int) {
	c.t.Helper()
	if err := c.closed(); !websocket.IsCloseError(err, code) {
		c.t.Errorf("ended with %v, want close %d", err, code)
	}
}

// refusal returns a failed upgrade as "400 Type: message".
func refusal(resp *http.Response, err error) error {
	if resp == nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	kind, _, _ := strings.Cut(resp.Header.Get("x-amzn-ErrorType"), ":")
	var m struct{ Message string }
	if err := json.Unmarshal(body, &m); err != nil {
		return errors.New(resp.Status + ": " + string(body))
	}
	return fmt.Errorf("%d %s: %s", resp.StatusCode, kind, m.Message)
}
