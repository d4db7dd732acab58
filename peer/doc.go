// Package peer is one WebRTC connection to one remote client: negotiation, trickle ICE, sending, receiving, statistics.
//
// It knows nothing of how signals travel. The owner of a Conn carries them:
//
//	remote --Signal--> Conn.Handle          Config.Send --Signal--> remote
//
//	as answerer   Offer in   -> Answer out, Candidates both ways
//	as offerer    Offer out  -> Answer in,  Candidates both ways
//
// Media flows beside it. One Broadcast per source packetises every frame once and hands the packets to each Conn that
// sends it; what a Conn receives becomes frames again and goes to a media.Sink.
//
// A Conn that has returned from Run is finished; make another.
package peer

// For maintainers. A Conn is one goroutine, Run, and its three parts: negotiation (what is offered and answered),
// recovery (when ICE is restarted, when to give up) and outgoing (what is sent). The first two decide without a
// connection or a clock. link is one Pion peer connection. The rooms below:
//
//	peer                    Conn, Config, Signal, Report, Engine
//	 |-> fanout             a frame's way to its packets on the wire, level by level
//	 |-> internal/transport the shared socket, the host's network, TURN, what comes in and how much of it
//	 |-> internal/receive   packets into frames
//	 |-> internal/sdp       text in, text out: what a remote wrote is read once, judged, and written anew
//	 |-> internal/wire      SRTP, SRTCP, views of RTCP, the arena
//	 `-> internal/contain   a panic ends one connection
//
// None looks back up: arch_test.go holds it.
