package peer

// Signal is what two peers tell each other to find and understand one another: Offer, Answer or Candidate.
type Signal interface{ signal() }

// Offer is an SDP offer (RFC 3264).
type Offer struct{ SDP string }

// Answer is an SDP answer (RFC 3264).
type Answer struct{ SDP string }

// Candidate is one ICE candidate (RFC 8838, RTCIceCandidateInit of W3C WebRTC). An empty Candidate text means that there are no more.
type Candidate struct {
	Candidate        string
	SDPMid           *string
	SDPMLineIndex    *uint16
	UsernameFragment *string
}

func (Offer) signal()     {}
func (Answer) signal()    {}
func (Candidate) signal() {}
