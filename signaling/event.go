package signaling

import (
	"time"
)

// Event is what [Client.Run] tells its owner: one of [Connected], [Received], [Refused], [Disconnected] and
// [ICEServersChanged].
type Event interface{ event() }

// Connected says that a WebSocket is open. It comes again, with no Disconnected in between, when an open WebSocket was
// replaced by a new one before its end; nothing is lost then.
type Connected struct {
	// Generation counts the WebSockets of this Run from 1.
	Generation int
}

// Received is a message from the other side.
type Received struct{ Message }

// Refused says that the service did not take a message of ours (STATUS_RESPONSE with its correlation id).
type Refused struct {
	Message Message
	Err     *StatusError
}

// Disconnected says that there is no WebSocket now, or still none after another try, why, and when the next try is.
type Disconnected struct {
	Err     error
	RetryIn time.Duration
}

// ICEServersChanged says that the TURN servers in use will shut down (RECONNECT_ICE_SERVER): ask [Client.ICEServers]
// for new ones and move relayed peers.
type ICEServersChanged struct{}

func (Connected) event()         {}
func (Received) event()          {}
func (Refused) event()           {}
func (Disconnected) event()      {}
func (ICEServersChanged) event() {}
