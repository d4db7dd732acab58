// Package transport is how one connection meets the network: the UDP socket that it shares with others, the host's
// addresses, TURN servers, the keys of SRTP, and what comes in, counted and limited.
package transport
