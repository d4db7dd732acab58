package signaling_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/signaling"
)

const offer = `{"type":"offer","sdp":"v=0\r\n"}`

func TestMasterReceivesAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		if got := expect[signaling.Connected](r); got.Generation != 1 {
			t.Errorf("generation = %d, want 1", got.Generation)
		}
		s := f.socket()
		q, err := url.ParseQuery(s.query)
		if err != nil || q.Get("X-Amz-ChannelARN") != arn || q.Has("X-Amz-ClientId") ||
			q.Get("X-Amz-Expires") != "299" || q.Get("X-Amz-Signature") == "" {
			t.Errorf("query = %v, %v; want ARN, 299 s, a signature and no client id", q, err)
		}
		s.say(t, message("SDP_OFFER", "viewer-1", offer))
		got := expect[signaling.Received](r)
		if got.Type != signaling.SDPOffer || got.ClientID != "viewer-1" || string(got.Payload) != offer {
			t.Errorf("received %+v", got)
		}
		answer := `{"type":"answer","sdp":"a<b>&c"}`
		if err := r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "viewer-1",
			Payload: []byte(answer)}); err != nil {
			t.Fatal(err)
		}
		var sent map[string]string
		frame := <-s.frames
		if err := json.Unmarshal([]byte(frame), &sent); err != nil {
			t.Fatal(err)
		}
		payload, err := base64.StdEncoding.DecodeString(sent["messagePayload"])
		if err != nil || sent["action"] != "SDP_ANSWER" || sent["recipientClientId"] != "viewer-1" ||
			string(payload) != answer || sent["correlationId"] == "" {
			t.Errorf("sent %s", frame)
		}
		synctest.Wait()
		rep := r.Report()
		if rep.State != signaling.Online || rep.ARN != arn || rep.Connects != 1 || rep.Received != 1 || rep.Sent != 1 ||
			rep.Err != nil {
			t.Errorf("report = %+v", rep)
		}
	})
}

func TestViewerConnectsUnderItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		opts := f.start()
		opts.Role, opts.ClientID = signaling.Viewer, "Viewer_1.a-b"
		r := run(t, opts)
		expect[signaling.Connected](r)
		s := f.socket()
		if q, _ := url.ParseQuery(s.query); q.Get("X-Amz-ClientId") != "Viewer_1.a-b" {
			t.Errorf("query = %v", q)
		}
		if err := r.Send(signaling.Message{Type: signaling.SDPOffer, Payload: []byte(offer)}); err != nil {
			t.Fatal(err)
		}
		if frame := <-s.frames; strings.Contains(frame, "recipientClientId") {
			t.Errorf("a viewer named a recipient: %s", frame)
		}
		s.say(t, message("SDP_ANSWER", "", `{"type":"answer","sdp":""}`)) // the master has no name
		if got := expect[signaling.Received](r); got.ClientID != "" {
			t.Errorf("sender = %q, want the master", got.ClientID)
		}
	})
}

func TestRefusalFindsItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		for _, id := range []string{"a", "b"} {
			err := r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "v" + id, Payload: []byte(offer),
				CorrelationID: id})
			if err != nil {
				t.Fatal(err)
			}
			<-s.frames
		}
		s.say(t,
			`{"messageType":"STATUS_RESPONSE","statusResponse":{"correlationId":"b","success":false,"errorType":"InvalidArgumentException","statusCode":"400","description":"no"}}`)
		got := expect[signaling.Refused](r)
		if got.Message.ClientID != "vb" || got.Err.StatusCode != "400" ||
			got.Err.ErrorType != "InvalidArgumentException" {
			t.Errorf("refused %+v %v", got.Message, got.Err)
		}
		// A refusal of something that we did not send, and a success: counted, not passed on.
		s.say(t, `{"messageType":"STATUS_RESPONSE","statusResponse":{"correlationId":"c","statusCode":"400"}}`)
		s.say(t, `{"messageType":"STATUS_RESPONSE","statusResponse":{"correlationId":"a","statusCode":"200"}}`)
		synctest.Wait()
		if len(r.events) != 0 || r.Report().Refused != 2 {
			t.Errorf("%d more events, %d refused; want 0 and 2", len(r.events), r.Report().Refused)
		}
	})
}

func TestFramesOfNoUseAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		bad := []string{"", " ", "null", "[]", "{", `"x"`, `{"messageType":7}`, `{}`, `{"messageType":"NEWS"}`,
			`{"messageType":"SDP_OFFER","messagePayload":"e30="}`,                        // no sender
			`{"messageType":"SDP_OFFER","senderClientId":"v","messagePayload":"%%"}`,     // not base64
			`{"messageType":"SDP_OFFER","senderClientId":"v"}`,                           // no payload
			`{"messageType":"SDP_OFFER","senderClientId":"a b","messagePayload":"e30="}`, // not a client ID
			strings.Repeat(`{"a":`, 9000), "\xff\xfe"}
		for _, frame := range bad {
			s.say(t, frame)
		}
		s.say(t, message("SDP_OFFER", "v", offer))
		expect[signaling.Received](r) // still connected, and no other event
		if got := r.Report().Ignored; got != uint64(len(bad)) {
			t.Errorf("ignored = %d, want %d", got, len(bad))
		}
		_ = r.stop()
		if n := strings.Count(r.logged.String(), "ignored a signaling frame"); n != 1 {
			t.Errorf("%d log lines, want 1: %s", n, r.logged)
		}
	})
}

func TestGoAwayLosesNothingAndDoublesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		old := f.socket()
		old.say(t, `{"messageType":"GO_AWAY"}`)
		if got := expect[signaling.Connected](r); got.Generation != 2 {
			t.Fatalf("generation = %d, want 2", got.Generation)
		}
		s := f.socket()
		if n := f.count(describePath); n != 1 {
			t.Errorf("%d describes, want 1: the channel is remembered", n)
		}
		old.say(t, message("ICE_CANDIDATE", "v", `{"candidate":"a"}`)) // in flight to the old one
		if got := expect[signaling.Received](r); string(got.Payload) != `{"candidate":"a"}` {
			t.Errorf("received %s", got.Payload)
		}
		s.say(t, message("ICE_CANDIDATE", "v", `{"candidate":"a"}`)) // and again over the new one
		s.say(t, message("ICE_CANDIDATE", "v", `{"candidate":"b"}`))
		if got := expect[signaling.Received](r); string(got.Payload) != `{"candidate":"b"}` {
			t.Errorf("received %s, want each candidate once", got.Payload)
		}
		s.say(t, message("ICE_CANDIDATE", "v", `{"candidate":"b"}`)) // twice over one session: intended by the sender
		expect[signaling.Received](r)
		if err := r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "v",
			Payload: []byte(offer)}); err != nil {
			t.Fatal(err)
		}
		<-s.frames // and not over the old one
		start := time.Now()
		if _, open := <-old.frames; open {
			t.Error("a message went over the old session")
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("the old session was closed after %v, want at most a minute", d)
		}
	})
}

func TestGoAwayStormMakesOneReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		for range 100 {
			s.say(t, `{"messageType":"GO_AWAY"}`)
		}
		expect[signaling.Connected](r)
		s = f.socket()
		for range 100 {
			s.say(t, `{"messageType":"GO_AWAY"}`)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if n := f.count(wssPath); n != 2 {
			t.Errorf("%d dials within 10 s of storm, want 2", n)
		}
		expect[signaling.Connected](r) // 30 s after the first
		if n := f.count(wssPath); n != 3 {
			t.Errorf("%d dials, want 3", n)
		}
	})
}

func TestGoAwayAndThenRefusedKeepsTheOldSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		old := f.socket()
		f.set(func() { f.always[wssPath] = answer{status: 503} })
		old.say(t, `{"messageType":"GO_AWAY"}`)
		time.Sleep(30 * time.Second)
		old.say(t, message("SDP_OFFER", "v", offer))
		expect[signaling.Received](r) // no Disconnected before
		if r.Report().State != signaling.Online {
			t.Errorf("state = %s", r.Report().State)
		}
		old.Close() // the grace is over
		expect[signaling.Disconnected](r)
		f.set(func() { delete(f.always, wssPath) })
		for e := range r.events {
			if _, ok := e.(signaling.Connected); ok {
				return
			}
		}
	})
}

func TestReplacedBeforeTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		opts := f.start()
		opts.Rand = nil // real randomness
		r := run(t, opts)
		expect[signaling.Connected](r)
		seen := map[time.Duration]bool{}
		for range 20 {
			start := time.Now()
			expect[signaling.Connected](r)
			age := time.Since(start)
			if age < 45*time.Minute || age > 57*time.Minute {
				t.Errorf("replaced at %v", age)
			}
			seen[age.Round(time.Second)] = true
		}
		if len(seen) < 10 {
			t.Errorf("ages do not spread: %v", seen)
		}
	})
}

func TestHalfOpenIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.mute = true
		r := run(t, f.start())
		expect[signaling.Connected](r)
		f.socket()
		start := time.Now()
		got := expect[signaling.Disconnected](r)
		if d := time.Since(start); d > 25*time.Second || !strings.Contains(got.Err.Error(), "nothing heard for 25s") {
			t.Errorf("%v after %v", got.Err, d)
		}
		if got.RetryIn != time.Second { // half of the spread
			t.Errorf("retry in %v, want 1s", got.RetryIn)
		}
		expect[signaling.Connected](r)
	})
}

func TestWriteStallEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.stall = true
		r := run(t, f.start())
		expect[signaling.Connected](r)
		f.socket()
		f.set(func() { f.stall = false })
		time.Sleep(16 * time.Second)
		_ = r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "v", Payload: []byte(offer)})
		start := time.Now()
		expect[signaling.Disconnected](r)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("noticed after %v, want the write deadline of 10s", d)
		}
		expect[signaling.Connected](r)
		if frame := <-f.socket().frames; !strings.Contains(frame, "SDP_ANSWER") { // it was not lost
			t.Errorf("sent %s", frame)
		}
	})
}

func TestMessagesWaitForTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(func() { f.down = true })
		r := run(t, f.start())
		expect[signaling.Disconnected](r)
		send := func(id string) {
			err := r.Send(signaling.Message{Type: signaling.ICECandidate, ClientID: "v", Payload: []byte(`{}`),
				CorrelationID: id})
			if err != nil {
				t.Fatal(err)
			}
		}
		send("too-old")
		time.Sleep(29 * time.Second)
		send("young")
		time.Sleep(2 * time.Second)
		f.set(func() { f.down = false })
		if frame := <-f.socket().frames; !strings.Contains(frame, "young") {
			t.Errorf("sent %s, want the young one only", frame)
		}
		if got := r.Report().Expired; got != 1 {
			t.Errorf("expired = %d, want 1", got)
		}
	})
}

func TestNoMoreThanTheServiceTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		for _, id := range []string{"v1", "v2", "v3", "v4", "v5", "v6", "v7"} {
			for range 10 {
				_ = r.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: id, Payload: []byte(offer)})
				_ = r.Send(signaling.Message{Type: signaling.ICECandidate, ClientID: id, Payload: []byte(`{}`)})
			}
		}
		times := map[string][]time.Time{}
		order := map[string][]string{}
		for range 140 {
			var m struct{ Action, RecipientClientID string }
			if err := json.Unmarshal([]byte(<-s.frames), &m); err != nil {
				t.Fatal(err)
			}
			times[m.Action] = append(times[m.Action], time.Now())
			order[m.RecipientClientID] = append(order[m.RecipientClientID], m.Action)
		}
		for action, limit := range map[string]int{"SDP_ANSWER": 5, "ICE_CANDIDATE": 20} {
			at := times[action]
			for i := limit; i < len(at); i++ {
				if d := at[i].Sub(at[i-limit]); d < time.Second {
					t.Fatalf("%d of %s within %v", limit+1, action, d)
				}
			}
		}
		for id, actions := range order {
			want := slices.Repeat([]string{"SDP_ANSWER", "ICE_CANDIDATE"}, 10)
			if !slices.Equal(actions, want) {
				t.Errorf("to %s: %v, want the order of Send", id, actions)
			}
		}
	})
}

func TestReconnectNeedsNoControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		f.socket()
		f.cut()
		expect[signaling.Disconnected](r)
		expect[signaling.Connected](r)
		if d, e, w := f.count(describePath), f.count(endpointPath), f.count(wssPath); d != 1 || e != 1 || w != 2 {
			t.Errorf("%d describes, %d endpoints, %d dials; want 1, 1, 2", d, e, w)
		}
	})
}

func TestStaleChannelIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		f.next(wssPath, answer{status: 404, code: "ResourceNotFoundException"})
		f.cut()
		expect[signaling.Disconnected](r)
		if got := expect[signaling.Disconnected](r); got.RetryIn != 0 {
			t.Errorf("retry in %v, want at once", got.RetryIn)
		}
		expect[signaling.Connected](r)
		if n := f.count(describePath); n != 2 {
			t.Errorf("%d describes, want 2", n)
		}
	})
}
