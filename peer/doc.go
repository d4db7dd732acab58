// Package peer is one WebRTC connection to one remote client: negotiation, trickle ICE, sending, receiving, statistics.
//
// It knows nothing of how signals travel. The owner of a Conn carries them:
//
//	remote --Signal--> Conn.Handle          Config.Send --Signal--> remote
//
//	as answerer   Offer in   -> Answer out, Candidates both ways
//	as offerer    Offer out  -> Answer in,  Candidates both ways
//
// Media flows beside it. One Broadcast per source packetises every frame once and hands the packets to each Conn that sends it; what
// a Conn receives becomes frames again and goes to a media.Sink.
//
// A Conn that has returned from Run is finished; make another.
package peer
