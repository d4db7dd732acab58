package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

const defaultSetup = 20 * time.Second

// Config says what one connection is for. Engine and Send are required.
type Config struct {
	Engine *Engine
	Send   func(Signal) // carries a signal to the remote; called from the Conn's goroutines, must not block

	Offer     bool              // make the offer; else wait for one
	Polite    bool              // when both sides offer at once, the remote's offer stands; one side should be polite
	Broadcast *fanout.Broadcast // what to send; nil is nothing
	Receive   bool              // take what the remote sends
	NoData    bool              // reject data channels: Pion does not see their section
	Refuse    Reason            // refuse the first offer for this reason; "" takes it
	// What the source must have, or an offer is refused: the remote takes all of them or nothing.
	Needs []media.Codec
	Sink  media.Sink // where received frames go; nil only counts them
	Epoch time.Time  // time zero of received frames; default is now

	Certificates *Certificates // whose fingerprint the remote sees; nil is the Engine's own

	// When signaling began to connect, and when it was; for viewers that ask.
	Signaling func() (start, end time.Time)

	OnConnected func() // called once from Run, when media can flow
	OnFrame     func() // called once from Run, when the first key frame was sent or received

	ICEServers func(context.Context) []transport.ICEServer // asked once, before the first description; nil: no servers
	RelayOnly  bool                                        // paths through our TURN servers only
	// Tell the remote no address of this host's own, only those that STUN and TURN servers see.
	NoHost bool
	// The remote is our own, and may name private addresses whatever the engine's Remotes says.
	Trusted      bool
	SetupTimeout time.Duration // from Run to connected; default 20 s
	// Without a frame in either direction, once connected; 0 is no limit.
	IdleTimeout time.Duration
	Log         *slog.Logger
}

// filled is the config with its defaults in place.
func (o Config) filled() (Config, error) {
	if o.Engine == nil || o.Send == nil {
		return o, errors.New("peer: Engine and Send are required")
	}
	if o.Broadcast == nil && !o.Receive && o.Refuse == "" {
		return o, errors.New("peer: nothing to send and nothing to receive")
	}
	if o.SetupTimeout == 0 {
		o.SetupTimeout = defaultSetup
	}
	if o.Certificates == nil {
		o.Certificates = &o.Engine.certs
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// policy is which kinds of candidates we gather.
func (o *Config) policy() webrtc.ICETransportPolicy {
	switch {
	case o.RelayOnly:
		return webrtc.ICETransportPolicyRelay
	case o.NoHost:
		return webrtc.ICETransportPolicyNoHost
	}
	return webrtc.ICETransportPolicyAll
}

// tellingWithin is how long Pion takes at most to say why a handshake has failed.
const tellingWithin = 300 * time.Millisecond

// setupError says how far a connection came that did not come about.
func (o *Config) setupError(stages Stages, l *link) error {
	switch {
	case stages.Answer == 0 && o.Offer:
		return fmt.Errorf("no answer to our offer in %v; hint: is the other side there, and does it take offers?",
			o.SetupTimeout)
	case stages.Answer == 0:
		return fmt.Errorf("no offer in %v", o.SetupTimeout)
	case stages.ICE == 0 && o.RelayOnly && !l.hasRelay():
		return errors.New("no TURN server gave us a relay, and no other path is allowed; " +
			"hint: is UDP and TCP to the servers open, and is there room for one more session?")
	case stages.ICE == 0:
		return errors.New("ice found no way to the remote; hint: is UDP blocked, is a TURN server needed?")
	}
	if err := l.handshakeError(tellingWithin); err != nil {
		return err
	}
	return errors.New("the dtls handshake did not end")
}

// servers asks for ICE servers.
func (o *Config) servers(ctx context.Context) []transport.ICEServer {
	if o.ICEServers == nil {
		return nil
	}
	return o.ICEServers(ctx)
}

type (
	// Limits is what one remote may send.
	Limits = transport.Limits
	// ICEServer is a STUN or TURN server.
	ICEServer = transport.ICEServer
	// Certificates is the DTLS certificate that connections share.
	Certificates = transport.Certificates
	// TrackReport is one track of a connection.
	TrackReport = fanout.TrackReport
	// PanicError is why a connection ended that a fault of ours has hit.
	PanicError = contain.PanicError
)

// Signal is what two peers tell each other to find and understand one another: Offer, Answer or Candidate.
type Signal interface{ signal() }

// Offer is an SDP offer (RFC 3264).
type Offer struct{ SDP string }

// Answer is an SDP answer (RFC 3264).
type Answer struct{ SDP string }

// Candidate is one ICE candidate (RFC 8838, RTCIceCandidateInit of W3C WebRTC). An empty Candidate text means that
// there are no more.
type Candidate struct {
	Candidate        string
	SDPMid           *string
	SDPMLineIndex    *uint16
	UsernameFragment *string
}

func (Offer) signal()     {}
func (Answer) signal()    {}
func (Candidate) signal() {}
