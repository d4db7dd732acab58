// Package signaling keeps one role on one Kinesis Video Streams signaling channel connected. It finds the channel over
// HTTPS and opens one WebSocket after another.
//
// What crosses the wire (KVS WebRTC developer guide, "How it works" and "WebSocket APIs"):
//
//	control plane   POST /describeSignalingChannel        name -> ARN     (or POST /createSignalingChannel)
//	                POST /getSignalingChannelEndpoint     ARN, role -> a wss and an https address
//	https address   POST /v1/get-ice-server-config        ARN -> TURN servers with passwords for five minutes
//	wss address     GET  /?X-Amz-ChannelARN=...&X-Amz-Signature=...    -> 101
//	                -> {"action":"SDP_ANSWER","recipientClientId":"v1","messagePayload":"<base64>",
//	                    "correlationId":"x"}
//	                <- {"messageType":"SDP_OFFER","senderClientId":"v1","messagePayload":"<base64>"}
//	                <- {"messageType":"STATUS_RESPONSE","statusResponse":{"correlationId":"x","statusCode":"400",...}}
//	                <- {"messageType":"GO_AWAY"}   <- {"messageType":"RECONNECT_ICE_SERVER"}
//
// A [Client] redials for ever. A session is one WebSocket: it is dead after its first error and is never repaired. ARN
// and endpoints are kept from one session to the next, so that a reconnect costs the service one request.
//
// This package does not know SDP: payloads pass through as JSON text.
package signaling

// Notes for maintainers.
//
// client.go   Options, Client, Report: what the owner sees
// run.go      the one goroutine that owns the sessions: dial, replace, redial
// receive.go  its frames in; write.go its frames out
// session.go  one WebSocket; overlap.go messages that come over two of them
// storage.go  the storage service as a peer
// wake.go     a process that was stopped reads what came meanwhile
// hearing.go  whether a silent master still gets the messages
// network.go  what to do when the host's network changes
// policy.go   every "how long until the next attempt" in one function
// explain.go  what went wrong, in the owner's words
// control.go  describe, create, endpoints; rest.go the calls that the SDK module at hand lacks; ice.go TURN servers
// transport.go and apierror.go  their HTTP
// queue.go    outgoing messages; pace.go the service's limits on them
// wire.go     frames; message.go what may be sent
// presign.go, clock.go  the WebSocket's URL, and the time to sign with
