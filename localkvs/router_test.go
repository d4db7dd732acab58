package localkvs_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kvsagent/kvsagent/localkvs"
)

const (
	offerPayload  = "eyJ0eXBlIjoib2ZmZXIifQ==" // {"type":"offer"}
	answerPayload = "eyJ0eXBlIjoiYW5zd2VyIn0="
)

// generous are limits that do not get in the way of tests of other rules.
func generous() localkvs.Limits {
	return localkvs.Limits{ConnectRate: -1, SDPRate: -1, CandidateRate: -1, AccountCalls: -1, ChannelCalls: -1,
		StorageJoins: -1}
}

func TestRoutesMessages(t *testing.T) {
	s := start(t, localkvs.Options{})
	arn := create(t, s, "cam")
	master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "viewer-1")

	// In the forms of the JS SDK, the C SDK and the Android SDK.
	viewer.send(`{"action":"SDP_OFFER","messagePayload":"` + offerPayload + `"}`)
	if got, want := master.text(), `{"senderClientId":"viewer-1","messageType":"SDP_OFFER","messagePayload":"`+offerPayload+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	master.send(`{"action":"SDP_ANSWER","RecipientClientId":"viewer-1","MessagePayload":"` + answerPayload +
		`","CorrelationId":"1_2","IceServerList":[{"Uris":["turn:x"],"Ttl":300}]}`)
	if got, want := viewer.text(), `{"messageType":"SDP_ANSWER","messagePayload":"`+answerPayload+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	viewer.send(`{"action":"ICE_CANDIDATE","messagePayload":"e30_-w","senderClientId":"viewer-1","recipientClientId":""}`)
	master.wants("viewer-1", "ICE_CANDIDATE", "e30_-w")

	// A viewer's recipient is ignored: everything goes to the master.
	other := dial(t, s, arn, "viewer-2")
	viewer.send(message("SDP_OFFER", "viewer-2", offerPayload, "c"))
	master.wants("viewer-1", "SDP_OFFER", offerPayload)
	master.send(message("SDP_OFFER", "viewer-2", offerPayload, "c"))
	other.wants("-", "SDP_OFFER", offerPayload)
}

func TestRefusedMessages(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "v")
	const bad = "id-1 InvalidArgumentException 400"
	for _, tt := range []struct {
		from  *conn
		frame string
	}{
		{viewer, message("PING", "", "e30=", "id-1")},
		{viewer, message("GO_AWAY", "", "e30=", "id-1")},
		{viewer, message("SDP_OFFER", "", "", "id-1")},
		{viewer, message("SDP_OFFER", "", strings.Repeat("A", 10004), "id-1")},
		{viewer, message("SDP_OFFER", "", "not base64!", "id-1")},
		{viewer, message("SDP_OFFER", "", "AAAAA", "id-1")},
		{viewer, `{"action":"SDP_OFFER","messagePayload":7,"correlationId":"id-1"}`},
		{master, message("SDP_ANSWER", "", "e30=", "id-1")},
		{master, message("SDP_ANSWER", "a b", "e30=", "id-1")},
		{master, message("SDP_ANSWER", strings.Repeat("v", 257), "e30=", "id-1")},
	} {
		if got := tt.from.refused(tt.frame); got != bad {
			t.Errorf("%.80s: got %s, want %s", tt.frame, got, bad)
		}
	}

	// Without a usable correlation ID the service is silent, and the next message passes.
	for _, frame := range []string{
		"", "{", "[]", "null", `"text"`, message("SDP_OFFER", "", "!", ""),
		message("SDP_OFFER", "", "e30=", "not an id"),
	} {
		viewer.send(frame)
	}
	viewer.send(message("SDP_OFFER", "", strings.Repeat("A", 10000), ""))
	master.wants("v", "SDP_OFFER", strings.Repeat("A", 10000))
	master.send(message("SDP_ANSWER", "v", answerPayload, ""))
	viewer.wants("-", "SDP_ANSWER", answerPayload)
}

// TestStoreAndForward: what a client receives when it connects late.
func TestStoreAndForward(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }

	s := start(t, localkvs.Options{Limits: generous(), Now: clock})
	arn := create(t, s, "cam")
	a, b := dial(t, s, arn, "a"), dial(t, s, arn, "b")
	a.send(message("SDP_OFFER", "", "b2xk", "x"))        // overwritten
	a.send(message("ICE_CANDIDATE", "", "Y2Fuc2Ex", "")) // all kept
	a.send(message("ICE_CANDIDATE", "", "Y2Fuc2Ey", ""))
	a.send(message("SDP_OFFER", "", "bmV3", "x"))
	a.refused(message("NONE", "", "e30=", "sync")) // the service has read the earlier messages of a
	b.send(message("SDP_OFFER", "", "YmJi", "x"))
	b.refused(message("NONE", "", "e30=", "sync"))

	master := dial(t, s, arn, "")
	master.wants("a", "SDP_OFFER", "bmV3")
	master.wants("a", "ICE_CANDIDATE", "Y2Fuc2Ex")
	master.wants("a", "ICE_CANDIDATE", "Y2Fuc2Ey")
	master.wants("b", "SDP_OFFER", "YmJi")

	// To a viewer that is not connected; after the TTL only the later message is left.
	master.send(message("SDP_ANSWER", "c", "b2xk", ""))
	master.refused(message("NONE", "c", "e30=", "sync"))
	pass(59 * time.Second)
	master.send(message("ICE_CANDIDATE", "c", "bmV3", ""))
	master.refused(message("NONE", "c", "e30=", "sync"))
	pass(time.Second)
	dial(t, s, arn, "c").wants("-", "ICE_CANDIDATE", "bmV3")
}

func TestNewestWins(t *testing.T) {
	for _, closeOld := range []bool{false, true} {
		t.Run(fmt.Sprintf("close displaced %v", closeOld), func(t *testing.T) {
			s := start(t, localkvs.Options{Limits: generous(), Readings: localkvs.Readings{CloseDisplaced: closeOld}})
			arn := create(t, s, "cam")
			oldMaster, oldViewer := dial(t, s, arn, ""), dial(t, s, arn, "v")
			master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "v")
			viewer.send(message("SDP_OFFER", "", offerPayload, ""))
			master.wants("v", "SDP_OFFER", offerPayload)
			master.send(message("SDP_ANSWER", "v", answerPayload, ""))
			viewer.wants("-", "SDP_ANSWER", answerPayload)
			if closeOld {
				oldMaster.wantsClose(1001)
				oldViewer.wantsClose(1001)
				return
			}
			// The older ones are open and may send, but only receive their own refusals.
			if got := oldMaster.refused(message("NONE", "", "e30=", "1")); got != "1 InvalidArgumentException 400" {
				t.Errorf("old master hears %s", got)
			}
			oldViewer.send(message("SDP_OFFER", "", "b2xk", ""))
			master.wants("v", "SDP_OFFER", "b2xk")

			// When the newest leaves, nothing switches back: the message waits for the next one.
			viewer.Close()
			waitSockets(t, s, 3)
			master.send(message("SDP_ANSWER", "v", "bmV4dA==", ""))
			dial(t, s, arn, "v").wants("-", "SDP_ANSWER", "bmV4dA==")
		})
	}
}

// waitSockets waits until the service has n connections.
func waitSockets(t *testing.T, s *localkvs.Server, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		have := 0
		for _, c := range s.State().Channels {
			have += len(c.Sockets)
		}
		if have == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, want %d", have, n)
		}
		time.Sleep(time.Millisecond) // the state has no events to wait for
	}
}

func TestConnectRefused(t *testing.T) {
	l := generous()
	l.Viewers = 2
	s := start(t, localkvs.Options{Limits: l})
	arn := create(t, s, "cam")
	dial(t, s, arn, "a")
	dial(t, s, arn, "b")
	dial(t, s, arn, "b") // the same ID takes no further place
	for _, tt := range []struct{ arn, id, want string }{
		{arn, "c", "400 ClientLimitExceededException"},
		{arn, "aws_x", "400 InvalidArgumentException"},
		{arn, "AWS_", "400 InvalidArgumentException"},
		{arn, "a b", "400 InvalidArgumentException"},
		{arn, strings.Repeat("v", 257), "400 InvalidArgumentException"},
		{"arn:aws:kinesisvideo:us-west-2:000000000000:channel/none/1700000000000", "", "404 ResourceNotFoundException"},
		{"cam", "", "400 InvalidArgumentException"},
	} {
		if _, err := tryDial(t, s, tt.arn, tt.id); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("connect to %s as %.20q: %v, want %s", tt.arn, tt.id, err, tt.want)
		}
	}
	master := dial(t, s, arn, "MASTER") // some masters give themselves this ID
	dial(t, s, arn, "a").send(message("SDP_OFFER", "", offerPayload, ""))
	master.wants("a", "SDP_OFFER", offerPayload)
}

func TestConnectRate(t *testing.T) {
	s := start(t, localkvs.Options{})
	arn := create(t, s, "cam")
	passed, limited := 0, 0
	for i := range 8 {
		_, err := tryDial(t, s, arn, fmt.Sprint("v", i))
		switch {
		case err == nil:
			passed++
		case strings.HasPrefix(err.Error(), "400 ClientLimitExceededException"):
			limited++
		default:
			t.Fatal(err)
		}
	}
	if passed < 3 || limited == 0 {
		t.Errorf("%d passed and %d were limited of 8 at once, want 3 or so to pass", passed, limited)
	}
}

func TestConnectSignature(t *testing.T) {
	s := start(t, localkvs.Options{Readings: localkvs.Readings{SignOnce: true}, Limits: generous()})
	arn := create(t, s, "cam")
	good := signed(t, ws(s), arn, "", time.Now())
	lower := strings.Replace(good, "X-Amz-ChannelARN", "X-Amz-channelARN", 1) // signed differently, so refused
	for _, tt := range []struct{ name, url, want string }{
		{"expired", signed(t, ws(s), arn, "", time.Now().Add(-300*time.Second)),
			"403 InvalidSignatureException: Signature expired: "},
		{"not yet", signed(t, ws(s), arn, "", time.Now().Add(302*time.Second)),
			"403 InvalidSignatureException: Signature not yet current: "},
		{"changed", lower, "403 InvalidSignatureException: The request signature we calculated"},
		{"unsigned", ws(s) + "/?X-Amz-ChannelARN=" + arn, "403 MissingAuthenticationTokenException: "},
		{"no path", strings.Replace(good, "/?", "?", 1), ""},
		{"again", good, "403 InvalidSignatureException: The pre-signed URL has been used."},
	} {
		c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), tt.url, nil)
		if err == nil {
			c.Close()
		} else {
			err = refusal(resp, err)
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRates(t *testing.T) {
	for _, tt := range []struct {
		action string
		rate   int
	}{{"SDP_OFFER", 5}, {"SDP_ANSWER", 5}, {"ICE_CANDIDATE", 20}} {
		t.Run(tt.action, func(t *testing.T) {
			s := start(t, localkvs.Options{})
			viewer := dial(t, s, create(t, s, "cam"), "v")
			for range tt.rate * 3 {
				viewer.send(message(tt.action, "", "e30=", "id"))
			}
			r := viewer.next()
			if r.StatusResponse == nil || r.StatusResponse.ErrorType != "ClientLimitExceededException" ||
				r.StatusResponse.StatusCode != "400" {
				t.Errorf("got %+v, want ClientLimitExceededException", r)
			}
		})
	}
	t.Run("close", func(t *testing.T) {
		s := start(t, localkvs.Options{Readings: localkvs.Readings{CloseOnRate: true}})
		viewer := dial(t, s, create(t, s, "cam"), "v")
		for range 15 {
			viewer.send(message("SDP_OFFER", "", "e30=", ""))
		}
		viewer.wantsClose(1001)
	})
}

func TestIdle(t *testing.T) {
	l := generous()
	l.Idle = time.Second
	s := start(t, localkvs.Options{Limits: l})
	arn := create(t, s, "cam")
	quiet, pinging := dial(t, s, arn, "quiet"), dial(t, s, arn, "pinging")
	pongs := make(chan struct{}, 100)
	pinging.SetPongHandler(func(string) error { pongs <- struct{}{}; return nil })
	ended := make(chan error, 1)
	go func() { ended <- pinging.closed() }()
	began := time.Now()
	for time.Since(began) < 3*l.Idle/2 {
		pinging.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		select {
		case <-pongs:
		case err := <-ended:
			t.Fatalf("pings did not keep the connection: %v", err)
		}
	}
	quiet.wantsClose(1001)
	if err := <-ended; !websocket.IsCloseError(err, 1001) {
		t.Errorf("without further pings: %v", err)
	}
}

func TestLife(t *testing.T) {
	l := generous()
	l.Life, l.Grace = 100*time.Millisecond, 100*time.Millisecond
	for _, only := range []bool{false, true} {
		s := start(t, localkvs.Options{Limits: l, Readings: localkvs.Readings{OnlyClose: only}})
		arn := create(t, s, "cam")
		began := time.Now()
		c := dial(t, s, arn, "")
		if !only {
			if got := c.text(); got != `{"messageType":"GO_AWAY"}` {
				t.Errorf("got %s, want GO_AWAY", got)
			}
		}
		c.wantsClose(1001)
		want := l.Life
		if !only {
			want += l.Grace
		}
		if d := time.Since(began); d < want {
			t.Errorf("closed after %v, want %v", d, want)
		}
	}
}

func TestReadings(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous(), Readings: localkvs.Readings{RefuseAbsent: true}})
	v := dial(t, s, create(t, s, "cam"), "v")
	if got := v.refused(message("SDP_OFFER", "", offerPayload, "1")); got != "1 ResourceNotFoundException 404" {
		t.Errorf("got %s", got)
	}

	s = start(t, localkvs.Options{Limits: generous(), Readings: localkvs.Readings{DropCandidates: true}})
	arn := create(t, s, "cam")
	v = dial(t, s, arn, "v")
	v.send(message("ICE_CANDIDATE", "", "e30=", ""))
	v.send(message("SDP_OFFER", "", offerPayload, ""))
	v.refused(message("NONE", "", "e30=", "sync"))
	dial(t, s, arn, "").wants("v", "SDP_OFFER", offerPayload)
}

func TestPingsAreIdle(t *testing.T) {
	l := generous()
	l.Idle = 100 * time.Millisecond
	s := start(t, localkvs.Options{Limits: l, Readings: localkvs.Readings{PingsAreIdle: true}})
	c := dial(t, s, create(t, s, "cam"), "v")
	c.SetPongHandler(func(string) error {
		return c.WriteControl(websocket.PingMessage, nil,
			time.Now().Add(time.Second))
	})
	c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
	c.wantsClose(1001)
}

func TestFrameLimits(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	big := dial(t, s, arn, "big")
	big.send(strings.Repeat(" ", 40<<10))
	big.wantsClose(websocket.CloseMessageTooBig)
	binary := dial(t, s, arn, "binary")
	if err := binary.WriteMessage(websocket.BinaryMessage,
		[]byte(message("SDP_OFFER", "", offerPayload, ""))); err != nil {
		t.Fatal(err)
	}
	binary.wantsClose(websocket.CloseUnsupportedData)
}

// TestBounds: a flood for an absent client stays small.
func TestBounds(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master := dial(t, s, arn, "")
	for i := range 1500 {
		master.send(message("ICE_CANDIDATE", "v", "e30=", ""))
		master.send(message("SDP_ANSWER", fmt.Sprint("stranger", i), "e30=", ""))
	}
	if got := master.refused(message("SDP_ANSWER", "one-more", "e30=",
		"id")); got != "id ClientLimitExceededException 400" {
		t.Errorf("got %s", got)
	}
	boxes, letters := 0, 0
	for _, w := range s.State().Channels[0].Waiting {
		boxes++
		letters += w.Messages
	}
	if boxes > 100 || letters > 300 {
		t.Errorf("%d mailboxes with %d letters", boxes, letters)
	}
}

func TestDeleteClosesConnections(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	c := dial(t, s, arn, "v")
	if resp, text := post(t, s, "/deleteSignalingChannel", `{"ChannelARN":"`+arn+`"}`,
		time.Now()); resp.StatusCode != http.StatusOK || text != "{}" {
		t.Fatalf("%s %s", resp.Status, text)
	}
	c.wantsClose(1001)
}

// TestOverTLS connects through the endpoint that the service returns over TLS, by name.
func TestOverTLS(t *testing.T) {
	s := start(t, withTLS(t, localkvs.Options{Limits: generous()}))
	arn := create(t, s, "cam")
	d := websocket.Dialer{TLSClientConfig: trust(t, s)}
	endpoint := "wss" + strings.TrimPrefix(s.TLSURL(), "https")
	c, resp, err := d.DialContext(t.Context(), signed(t, endpoint, arn, "v", time.Now()),
		http.Header{"Sec-WebSocket-Protocol": {"wss"}})
	if err != nil {
		t.Fatal(refusal(resp, err))
	}
	defer c.Close()
	v := &conn{t: t, Conn: c}
	v.send(message("SDP_OFFER", "", offerPayload, ""))
	dial(t, s, arn, "").wants("v", "SDP_OFFER", offerPayload)
	if c.Subprotocol() != "wss" {
		t.Errorf("subprotocol %q, want the one asked for", c.Subprotocol())
	}
	for _, name := range []string{"localhost", "kvs.localhost", "a.b.localhost"} {
		d.TLSClientConfig.ServerName = name
		c, resp, err := d.DialContext(t.Context(), signed(t, endpoint, arn, "v", time.Now()), nil)
		if err != nil {
			t.Errorf("as %s: %v", name, refusal(resp, err))
			continue
		}
		c.Close()
	}
}
