// Package bwe estimates how much a path can carry. It uses the remote's feedback on each packet's arrival
// (transport-wide congestion control, draft-holmer-rmcat-transport-wide-cc-extensions-01), or else its receiver reports
// (RFC 3550) and its own estimate (REMB).
//
// The arrival times give two values. The first is how long the fastest recent packets have waited in the path's queue.
// Pictures come in bursts, so most packets wait for those before them; but when even the fastest wait longer and
// longer, more is sent than the path can carry (the idea of CoDel, RFC 8289). The second is the rate at which packets
// meanwhile arrived at the far end, which then is what the path carries. A path that is not full only shows that it
// carries what it got. A probe, a short train of packets at a higher rate, shows more.
package bwe
