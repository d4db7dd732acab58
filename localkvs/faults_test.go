package localkvs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestActions(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	other := dial(t, s, create(t, s, "other"), "")
	c := dial(t, s, arn, "v")
	act := func(a localkvs.Action) {
		t.Helper()
		a.Channel = "cam"
		if n, err := s.Act(a); n != 1 || err != nil {
			t.Errorf("%s: %d connections, %v; want 1", a.Do, n, err)
		}
	}
	for _, tt := range []struct{ do, want string }{
		{"go_away", `{"messageType":"GO_AWAY"}`},
		{"reconnect_ice", `{"messageType":"RECONNECT_ICE_SERVER"}`},
		{"empty", ""},
		{"unknown", `{"messageType":"A_TYPE_OF_2038","messagePayload":"e30="}`},
		{"frame", "as it is"},
	} {
		act(localkvs.Action{Do: tt.do, Text: "as it is"})
		if got := c.text(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.do, got, tt.want)
		}
	}
	act(localkvs.Action{Do: "garbage"})
	if got := c.text(); json.Valid([]byte(got)) {
		t.Errorf("garbage is JSON: %q", got)
	}
	act(localkvs.Action{Do: "oversized"})
	if got := c.text(); len(got) < 1<<20 {
		t.Errorf("oversized is only %d bytes", len(got))
	}

	act(localkvs.Action{Do: "close", Code: 4000, Text: "because"})
	c.wantsClose(4000)
	c = dial(t, s, arn, "")
	act(localkvs.Action{Do: "cut", Client: "MASTER"})
	if err := c.closed(); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("cut: %v", err)
	}
	waitSockets(t, s, 1)
	c = dial(t, s, arn, "v")
	act(localkvs.Action{Do: "reset", Client: "v"})
	if err := c.closed(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	waitSockets(t, s, 1)
	if n, err := s.Act(localkvs.Action{Do: "go_away", Client: "nobody"}); n != 0 || err != nil {
		t.Errorf("nobody: %d, %v", n, err)
	}
	if _, err := s.Act(localkvs.Action{Do: "explode"}); err == nil {
		t.Error("an unknown action passed")
	}
	other.send(message("NONE", "", "e30=", "x")) // the other channel is not affected
	if r := other.next(); r.MessageType != "STATUS_RESPONSE" {
		t.Errorf("other channel got %+v", r)
	}
}

// TestSilent: a connection is open and dead: it answers no ping, and does not delay the end of the service.
func TestSilent(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	c := dial(t, s, create(t, s, "cam"), "v")
	if _, err := s.Act(localkvs.Action{Do: "silent"}); err != nil {
		t.Fatal(err)
	}
	s.Act(localkvs.Action{Do: "go_away"}) // not even this arrives
	pong := false
	c.SetPongHandler(func(string) error { pong = true; return nil })
	c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, frame, err := c.ReadMessage()
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() || pong {
		t.Errorf("got %q, %v, pong %v; want silence", frame, err, pong)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	s.SetFaults(localkvs.Faults{
		Calls:   localkvs.Refusal{Status: 500, Times: 1, Calls: []string{"ListSignalingChannels"}},
		Connect: localkvs.Refusal{Status: 403, Type: "AccessDeniedException", Body: "<html>no</html>", Times: 1},
	})
	if resp, text := post(t, s, "/describeSignalingChannel", `{"ChannelARN":"`+arn+`"}`,
		time.Now()); resp.StatusCode != 200 {
		t.Errorf("another call: %s %s", resp.Status, text)
	}
	if resp, _ := post(t, s, "/listSignalingChannels", `{}`, time.Now()); resp.StatusCode != 500 ||
		!strings.HasPrefix(resp.Header.Get("x-amzn-ErrorType"), "InternalFailure") {
		t.Errorf("first: %s %v", resp.Status, resp.Header)
	}
	if resp, text := post(t, s, "/listSignalingChannels", `{}`, time.Now()); resp.StatusCode != 200 {
		t.Errorf("second: %s %s", resp.Status, text)
	}
	if _, err := tryDial(t, s, arn, "v"); err == nil || err.Error() != "403 Forbidden: <html>no</html>" {
		t.Errorf("connect: %v", err)
	}
	dial(t, s, arn, "v")
}

func TestStandingFaults(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "v")

	s.SetFaults(localkvs.Faults{Duplicate: true})
	viewer.send(message("SDP_OFFER", "", offerPayload, ""))
	master.wants("v", "SDP_OFFER", offerPayload)
	master.wants("v", "SDP_OFFER", offerPayload)

	s.SetFaults(localkvs.Faults{Delay: 100 * time.Millisecond})
	began := time.Now()
	viewer.send(message("SDP_OFFER", "", offerPayload, ""))
	master.wants("v", "SDP_OFFER", offerPayload)
	if d := time.Since(began); d < 100*time.Millisecond {
		t.Errorf("delivered after %v", d)
	}

	s.SetFaults(localkvs.Faults{Reorder: true})
	viewer.send(message("SDP_OFFER", "", offerPayload, ""))
	master.wants("v", "SDP_OFFER", offerPayload)
	master.send(message("SDP_ANSWER", "late", "MQ==", ""))
	master.send(message("ICE_CANDIDATE", "late", "Mg==", ""))
	master.refused(message("NONE", "late", "e30=", "sync"))
	late := dial(t, s, arn, "late")
	late.wants("-", "ICE_CANDIDATE", "Mg==")
	late.wants("-", "SDP_ANSWER", "MQ==")

	s.SetFaults(localkvs.Faults{ExpireTokens: true})
	if _, err := tryDial(t, s, arn, "w"); err == nil ||
		!strings.HasPrefix(err.Error(),
			"403 ExpiredTokenException: The security token included in the request is expired") {
		t.Errorf("expired token: %v", err)
	}
	s.SetFaults(localkvs.Faults{ClockOffset: 10 * time.Minute})
	if _, err := tryDial(t, s, arn, "w"); err == nil ||
		!strings.HasPrefix(err.Error(), "403 InvalidSignatureException: Signature expired: ") {
		t.Errorf("clock: %v", err)
	}
	s.SetFaults(localkvs.Faults{EndpointHost: "127.0.0.1:1"})
	if _, text := post(t, s, "/getSignalingChannelEndpoint", `{"ChannelARN":"`+arn+`"}`,
		time.Now()); !strings.Contains(text, `"ws://127.0.0.1:1"`) {
		t.Errorf("moved: %s", text)
	}
	s.SetFaults(localkvs.Faults{SlowBytes: 400})
	began = time.Now()
	post(t, s, "/listSignalingChannels", "{}", time.Now())
	if d := time.Since(began); d < time.Second {
		t.Errorf("some 500 bytes at 400 a second took %v", d)
	}
	s.SetFaults(localkvs.Faults{})
	dial(t, s, arn, "w")
}

func TestTURNDown(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	ice := iceServers(t, s, create(t, s, "cam"))
	s.SetFaults(localkvs.Faults{TURNDown: true})
	for _, uri := range ice.Uris {
		if _, err := allocate(t, uri, ice.Username, ice.Password); err == nil {
			t.Errorf("%s answers", uri)
		}
	}
	s.SetFaults(localkvs.Faults{})
	if _, err := allocate(t, ice.Uris[0], ice.Username, ice.Password); err != nil {
		t.Errorf("up again: %v", err)
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	c := dial(t, s, create(t, s, "cam"), "v")
	hc := httpClient(t, s)
	do := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Host" {
				r.Host = header[i+1]
			}
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(bytes.TrimSpace(b))
	}
	if status, text := do("POST", "/localkvs/faults",
		`{"set":{"delay":"1ms"},"do":[{"do":"go_away","channel":"cam"}]}`); status != 200 ||
		!strings.Contains(text, `"connections":[1]`) {
		t.Fatalf("%d %s", status, text)
	}
	if got := c.next(); got.MessageType != "GO_AWAY" {
		t.Errorf("got %+v", got)
	}
	if s.Faults().Delay != time.Millisecond {
		t.Errorf("faults %+v", s.Faults())
	}
	if status, text := do("GET", "/localkvs/state", ""); status != 200 || !strings.Contains(text, `"client":"v"`) {
		t.Errorf("%d %s", status, text)
	}
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		want                     int
	}{
		{"unknown key", "POST", "/localkvs/faults", `{"set":{"dealy":1}}`, nil, 400},
		{"unknown action", "POST", "/localkvs/faults", `{"do":[{"do":"explode"}]}`, nil, 400},
		{"other site's page", "POST", "/localkvs/faults", `{}`, []string{"Origin", "https://page.example"}, 403},
		{"other name", "GET", "/localkvs/state", "", []string{"Host", "rebound.example:9790"}, 403},
		{"own page", "GET", "/localkvs/state", "", []string{"Origin", s.URL()}, 200},
		{"nothing there", "GET", "/localkvs/nothing", "", nil, 404},
	} {
		if status, text := do(tt.method, tt.path, tt.body, tt.header...); status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, status, text, tt.want)
		}
	}
}
