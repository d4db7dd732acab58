package localkvs_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
)

const stream = "arn:aws:kinesisvideo:us-west-2:000000000000:stream/rec/1700000000000"

// offering is a media end that offers, and passes on what comes back.
func offering(got chan<- localkvs.StorageMessage, ended chan<- string) func(context.Context,
	*localkvs.StorageSession) error {
	return func(ctx context.Context, ss *localkvs.StorageSession) error {
		defer func() { ended <- ss.ClientID }()
		if err := ss.Send(localkvs.StorageMessage{Type: "SDP_OFFER", Payload: offerPayload}); err != nil {
			return err
		}
		for {
			m, err := ss.Receive(ctx)
			if err != nil {
				return err
			}
			got <- m
		}
	}
}

func TestStorageSession(t *testing.T) {
	got, ended := make(chan localkvs.StorageMessage, 10), make(chan string, 10)
	s := start(t, localkvs.Options{Limits: generous(), Storage: offering(got, ended)})
	arn := create(t, s, "cam")
	join := func(path, more string, want int) {
		t.Helper()
		resp, text := post(t, s, path, `{"channelArn":"`+arn+`"`+more+`}`, time.Now())
		if resp.StatusCode != want || want == http.StatusOK && text != "" {
			t.Errorf("%s: %s %s, want %d", path, resp.Status, text, want)
		}
	}
	join("/joinStorageSession", "", 400) // without storage
	post(t, s, "/updateMediaStorageConfiguration",
		`{"ChannelARN":"`+arn+`","MediaStorageConfiguration":{"Status":"ENABLED","StreamARN":"`+stream+`"}}`, time.Now())
	join("/joinStorageSession", "", 400) // without a connection

	master, viewer := dial(t, s, arn, ""), dial(t, s, arn, "v")
	master.send(message("ICE_CANDIDATE", "", "e30=", "x")) // to a service that is not listening yet: no error
	join("/joinStorageSession", "", 200)
	if text, want := master.text(), `{"messageType":"SDP_OFFER","messagePayload":"`+offerPayload+`"}`; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	master.send(`{"action":"SDP_ANSWER","messagePayload":"` + answerPayload + `","correlationId":"1"}`)
	if m := <-got; m != (localkvs.StorageMessage{Type: "SDP_ANSWER", Payload: answerPayload}) {
		t.Errorf("got %+v", m)
	}

	join("/joinStorageSessionAsViewer", `,"clientId":"w"`, 400) // no such viewer is connected
	join("/joinStorageSessionAsViewer", `,"clientId":"v"`, 200)
	viewer.wants("-", "SDP_OFFER", offerPayload)
	viewer.send(message("ICE_CANDIDATE", "", "e30=", ""))
	if m := <-got; m.Type != "ICE_CANDIDATE" {
		t.Errorf("got %+v", m)
	}
	viewer.Close()
	if id := <-ended; id != "v" {
		t.Errorf("session of %q ended, want the viewer's", id)
	}
	join("/joinStorageSession", "", 200) // again: the earlier session ends
	if id := <-ended; id != "" {
		t.Errorf("session of %q ended, want the master's", id)
	}
	master.wants("-", "SDP_OFFER", offerPayload)
}

func TestStorageLife(t *testing.T) {
	l := generous()
	l.StorageLife = 50 * time.Millisecond
	got, ended := make(chan localkvs.StorageMessage, 10), make(chan string, 10)
	s := start(t, localkvs.Options{Limits: l, Storage: offering(got, ended)})
	arn := create(t, s, "cam")
	post(t, s, "/updateMediaStorageConfiguration",
		`{"ChannelARN":"`+arn+`","MediaStorageConfiguration":{"Status":"ENABLED","StreamARN":"`+stream+`"}}`, time.Now())
	dial(t, s, arn, "")
	post(t, s, "/joinStorageSession", `{"channelArn":"`+arn+`"}`, time.Now())
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the session outlived its time")
	}
}

// TestStorageRate: joins have their own rate, lower than that of other calls.
func TestStorageRate(t *testing.T) {
	s := start(t, localkvs.Options{Limits: localkvs.Limits{ChannelCalls: -1},
		Storage: func(context.Context, *localkvs.StorageSession) error { return nil }})
	arn := create(t, s, "cam")
	post(t, s, "/updateMediaStorageConfiguration",
		`{"ChannelARN":"`+arn+`","MediaStorageConfiguration":{"Status":"ENABLED","StreamARN":"`+stream+`"}}`, time.Now())
	dial(t, s, arn, "")
	for range 100 {
		if resp, _ := post(t, s, "/joinStorageSession", `{"channelArn":"`+arn+`"}`,
			time.Now()); resp.StatusCode != http.StatusOK {
			if got := resp.Header.Get("x-amzn-ErrorType"); !strings.HasPrefix(got, "ClientLimitExceededException") {
				t.Errorf("refused with %s, want ClientLimitExceededException", got)
			}
			return
		}
	}
	t.Error("a hundred joins at once were all let through")
}
