package signaling

import (
	"time"
)

// Event is what [Client.Run] reports to its owner: one of [Connected], [Received], [Refused], [Disconnected] and
// [ICEServersChanged].
type Event interface{ event() }

// Connected says that a WebSocket is open. It comes again, without a Disconnected in between, when a WebSocket was
// replaced before its end; nothing is lost then.
type Connected struct {
	// Generation counts the WebSockets of this Run from 1. It stays the same when this process was stopped for a while:
	// what follows came meanwhile, as after a connect.
	Generation int
}

// Received is a message from the other side.
type Received struct{ Message }

// Refused says that the service refused a message of ours (a STATUS_RESPONSE with its correlation ID).
type Refused struct {
	Message Message
	Err     *StatusError
}

// Disconnected says that there is no WebSocket now, or still none after another attempt, with the reason and the time
// until the next attempt.
type Disconnected struct {
	Err     error
	RetryIn time.Duration
}

// ICEServersChanged says that the TURN servers in use will shut down (RECONNECT_ICE_SERVER). Get new ones from
// [Client.ICEServers] and move the peers that use a relay.
type ICEServersChanged struct{}

func (Connected) event()         {}
func (Received) event()          {}
func (Refused) event()           {}
func (Disconnected) event()      {}
func (ICEServersChanged) event() {}
