package agent

import (
	"context"
	"log/slog"
	"testing"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
)

// TestRefusalOfAnOlderMessage: the service refuses what an older session of the same client has sent. The session that
// there is goes on.
func TestRefusalOfAnOlderMessage(t *testing.T) {
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for _, tt := range []struct {
		name, correlation, status string
		kind                      signaling.MessageType
		ends                      bool
		errorType                 string
	}{
		{"its own answer", "abcd.2", "400", signaling.SDPAnswer, true, ""},
		{"an older session's answer", "1234.2", "400", signaling.SDPAnswer, false, ""},
		{"one that nobody looks for", "", "400", signaling.SDPAnswer, false, ""},
		{"its own candidate", "abcd.3", "400", signaling.ICECandidate, false, ""},
		{"its own answer, for load", "abcd.2", "429", signaling.SDPAnswer, false, ""},
		{"its own answer, for load, as KVS says it", "abcd.2", "400", signaling.SDPAnswer, false,
			"ClientLimitExceededException"},
		{"its own answer, for load, twice", "abcd.2.again", "503", signaling.SDPAnswer, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what is to be sent again is not
			log := slog.New(slog.DiscardHandler)
			ended := false
			s := &session{id: "abcd", client: "tablet", log: log, cancel: func() { ended = true }}
			ch := &channel{log: log, sessions: map[string]*session{"tablet": s}}
			ch.onRefused(ctx, signaling.Refused{
				Message: signaling.Message{Type: tt.kind, ClientID: "tablet", CorrelationID: tt.correlation},
				Err:     &signaling.StatusError{StatusCode: tt.status, ErrorType: tt.errorType},
			})
			if ended != tt.ends {
				t.Errorf("the session ended: %v", ended)
			}
		})
	}
}
