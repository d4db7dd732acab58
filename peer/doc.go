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

// For maintainers: the locks of the fan-out, in the order in which they are taken. None is held across a system call, a wait or a callback, but where it says so.
//
//	stream.joining    a level is wanted or not; held while the last one leaves, until the level's shards have ended
//	Hub's mu          a frame goes to all sinks
//	Broadcast.mu      the order of frames, who gets them
//	shard.mu          a shard's queue and viewers
//	sender.mu         a viewer's queue, its level, its cipher
//	outTrack.mu       numbers, history, path
//
// Beside them, shard.leaving is held while a part of a frame is sealed (sender.mu and outTrack.mu are taken under it) and written, which takes a system call and at most
// the 2 ms of udpbatch for room in a socket's buffer. Only the goroutine of a viewer that has left the shard waits for it, with no lock held.
//
// What is sealed for a viewer as part of a frame leaves in the order of its numbers: one goroutine at a time seals and writes for it, the shard's or its own, and in passing it
// on the second waits for the first to have written. Retransmissions and probes, which have no place in that order, leave beside it.
