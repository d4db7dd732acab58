// Package load is the viewers of a benchmark: many WebRTC receivers in one process, cheap enough that one core drives
// hundreds.
//
//	kernel -> socket (arrival times) -> observe: count, check, sample -> Pion (STUN, DTLS, RTCP;
//	                                                                     RTP while the viewer decrypts)
//
// Every viewer is a whole WebRTC client: signaling, ICE, DTLS, SRTP, decrypting until its first complete key frame.
// After that a sample goes on decrypting; the others count packets by the RTP header, which SRTP leaves in the clear
// (RFC 3711 section 3.1). All of them send receiver reports.
package load
