// Package impair is a bad network for tests: a UDP relay on loopback whose links lose, delay, disorder and squeeze what
// goes through them.
//
//	client --up--> Relay.Addr ... socket of its own --> upstream
//	client <-down- Relay.Addr ... socket of its own <-- upstream
//
// All clients of a relay share its two links, one for each way, as the devices behind one router do. A link can be
// changed while it is in use. What it throws away follows from its seed and the order of the packets alone.
package impair
