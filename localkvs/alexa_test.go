package localkvs_test

import (
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
)

func TestAlexa(t *testing.T) {
	s := start(t, localkvs.Options{Limits: generous()})
	arn := create(t, s, "cam")
	master := dial(t, s, arn, "")
	answer := make(chan string, 1)
	go func() {
		_, text := post(t, s, "/v1/send-alexa-offer-to-master",
			`{"ChannelARN":"`+arn+`","SenderClientId":"echo","MessagePayload":"`+offerPayload+`"}`, time.Now())
		answer <- text
	}()
	master.wants("echo", "SDP_OFFER", offerPayload)
	master.send(message("SDP_ANSWER", "echo", answerPayload, ""))
	if got, want := <-answer, `{"Answer":"`+answerPayload+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The next answer is for a viewer of that name again.
	master.send(message("SDP_ANSWER", "echo", "bmV4dA==", ""))
	dial(t, s, arn, "echo").wants("-", "SDP_ANSWER", "bmV4dA==")
	if resp, text := post(t, s, "/v1/send-alexa-offer-to-master", `{"ChannelARN":"`+arn+`","SenderClientId":"echo"}`,
		time.Now()); resp.StatusCode != 400 {
		t.Errorf("without an offer: %s %s", resp.Status, text)
	}
}
