package rtpin

// ParseSDP is parse, which reads the text of an SDP file; n is how many tracks can be played.
func ParseSDP(text []byte, foreign bool) (n int, err error) {
	inputs, _, err := parse(text, foreign)
	return len(inputs), err
}
