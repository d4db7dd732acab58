package peer

import (
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
)

// What users of this package name, and rooms below it own.
type (
	Limits      = transport.Limits    // what one remote may send
	ICEServer   = transport.ICEServer // a STUN or TURN server
	TrackReport = fanout.TrackReport  // one track of a connection
	PanicError  = contain.PanicError  // a fault of ours has ended the connection
)
