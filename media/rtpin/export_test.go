package rtpin

import "time"

// ParseSDP is parse, which reads the text of an SDP file; n is how many tracks can be played.
func ParseSDP(text []byte, foreign bool) (n int, err error) {
	inputs, _, err := parse(text, foreign)
	return len(inputs), err
}

// Control is where the RTCP of the first track that an SDP file describes comes in; port 0 is on its RTP port.
func Control(text []byte) (host string, port int, err error) {
	inputs, _, err := parse(text, false)
	if err != nil {
		return "", 0, err
	}
	return inputs[0].rtcp.host, inputs[0].rtcp.port, nil
}

// Hear passes a datagram as RTCP of a track, from any sender, and returns the moment of RTP time zero by the sender's
// clock.
func Hear(datagram []byte, ssrc uint32) time.Time {
	ss, in := &session{}, &input{}
	in.clock.Rate = 90000
	in.clock.Packet(ssrc)
	ss.report(in, datagram)
	return in.clock.At(0)
}
