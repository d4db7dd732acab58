// Package bwe estimates how much a path carries, from what the remote tells about each packet's arrival (transport-wide
// congestion control, draft-holmer-rmcat-transport-wide-cc-extensions-01), and else from its receiver reports (RFC
// 3550) and its own estimate (REMB).
//
// Two things are read from the arrival times. How long the fastest packets of late have waited in the path's queue:
// pictures come in bursts, so that most packets wait for those before them, but when even the fastest wait longer and
// longer, more is sent than the path carries (the idea of CoDel, RFC 8289). And how fast packets came out at the far
// end meanwhile, which then is what the path carries. A path that is not full tells only that it carries what it got; a
// probe, a short train of packets at a higher rate, tells more.
package bwe
