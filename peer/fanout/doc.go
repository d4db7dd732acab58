// Package fanout is a frame's way to its packets on the wire: a Broadcast packetises each frame of a source once, and
// its Senders encrypt the packets viewer by viewer.
//
//	media.Hub -> stream (a Level) -> Broadcast -> shard  -> socket         viewers that are up to live, over plain UDP
//	                                     |------> Sender -> socket         newcomers, narrow paths
//	                                     |------> Sender -> Pion -> TURN   and TCP
package fanout

// For maintainers: the locks, in the order in which they are taken. None is held across a system call, a wait or a
// callback, but where it says so.
//
//	stream.joining    a level is wanted or not; held while the last one leaves, until the level's shards have ended
//	Hub's mu          a frame goes to all sinks
//	Broadcast.mu      the order of frames, who gets them
//	shard.mu          a shard's queue and viewers
//	Sender.mu         a viewer's queue, its level, its cipher
//	Track.mu          numbers, history, path
//
// Beside them, shard.leaving is held while a part of a frame is sealed (Sender.mu and Track.mu are taken under it) and
// written, which takes a system call and at most the 2 ms of udpbatch for room in a socket's buffer. Only the goroutine
// of a viewer that has left the shard waits for it, with no lock held.
//
// What is sealed for a viewer as part of a frame leaves in the order of its numbers: one goroutine at a time seals and
// writes for it, the shard's or its own, and in passing it on the second waits for the first to have written.
// Retransmissions and probes, which have no place in that order, leave beside it.
