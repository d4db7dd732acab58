// Package localkvs is a signaling service that speaks the protocol of Amazon Kinesis Video Streams with WebRTC on this
// machine.
//
// It is for development, tests, demonstrations and LANs without AWS, and it is useful without the rest of this
// repository: official clients work against it when their endpoint is set.
//
//	             POST /describeSignalingChannel, ...      (SigV4 header)
//	client  ──────────────────────────────────────────►  control plane ── channels
//	             POST /v1/get-ice-server-config           (SigV4 header)     │
//	client  ──────────────────────────────────────────►  credentials         │
//	             GET /?X-Amz-ChannelARN=...               (SigV4 query)      ▼
//	master  ◄────────── WebSocket ─────────────────────►  router: one mailbox for the master
//	viewer  ◄────────── WebSocket ─────────────────────►          and one for each viewer id
//	             STUN, TURN over UDP, TCP and TLS
//	peer    ◄──────────────────────────────────────────►  relay for media
//
// A [Server] binds in [New] and serves in [Server.Run]. [Faults] makes it misbehave in every way that a client should
// survive.
package localkvs

// For maintainers: this package is an independent reading of the documentation. It shares no code with the client side
// of this repository, so that agreement between the two means something.
