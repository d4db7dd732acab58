package agent

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/signaling"
)

// A STATUS_RESPONSE names the message that it refuses by its correlation ID alone (KVS dev guide, "Asynchronous message
// reception"), and may come when that message's session is long over. So the ID says whose it was: the session's ID, a
// number, and for one that is sent a second time a mark.

const sentAgain = ".again"

// correlation is the ID of the session's next message.
func (s *session) correlation() string { return s.id + "." + strconv.FormatUint(s.sent.Add(1), 10) }

// wrote says whether a message was the session's.
func (s *session) wrote(m signaling.Message) bool {
	return strings.HasPrefix(m.CorrelationID, s.id+".")
}

// sendAgainAfter is how long a service that is under load gets before it is sent a description once more.
const sendAgainAfter = time.Second

// onRefused ends the session whose description the service refused, unless that was for load: then it is sent once
// more. A refused candidate only means one path less.
func (ch *channel) onRefused(ctx context.Context, e signaling.Refused) {
	s := ch.sessions[e.Message.ClientID]
	if s == nil || !s.wrote(e.Message) || e.Message.Type == signaling.ICECandidate {
		return
	}
	again := e.Message
	if overloaded(e.Err) && !strings.HasSuffix(again.CorrelationID, sentAgain) {
		s.log.Warn("the service refused a description for load, and is sent it once more", "type", again.Type,
			"err", e.Err)
		again.CorrelationID += sentAgain
		time.AfterFunc(sendAgainAfter, func() {
			if ctx.Err() == nil {
				ch.sending.Lock()
				defer ch.sending.Unlock()
				_ = ch.reaches(s.via).Send(again)
			}
		})
		return
	}
	ch.end(s, fmt.Sprintf("the service refused our %s: %v", e.Message.Type, e.Err))
}

// overloaded says whether a message was refused for load: too many requests, or a fault of the service.
func overloaded(e *signaling.StatusError) bool {
	switch e.ErrorType { // KVS throttles requests with status 400
	case "ClientLimitExceededException", "ThrottlingException", "TooManyRequestsException":
		return true
	}
	code, err := strconv.Atoi(e.StatusCode)
	return err == nil && (code == 429 || code >= 500)
}
