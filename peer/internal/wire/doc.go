// Package wire is bytes as they stand in a datagram: SRTP and SRTCP with AES-128-GCM (RFC 7714), views of RTCP packets
// (RFC 3550) that copy nothing, and the arena in which packets are encrypted side by side.
package wire
