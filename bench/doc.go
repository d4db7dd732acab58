// Package bench measures the sending path: the real binary with a real source and real WebRTC viewers, in turn with a
// bare Pion fan-out.
//
//	this process, one core: localkvs,              the measured process, another core:
//	N viewers (package load)        <-- 127.0.0.1 --> kvsagent or naive
//
// The two servers take turns, A B A B, so that what else the machine does falls on both. Ratios travel, absolute
// figures do not. Package load says what a viewer is, and what latency means.
package bench
