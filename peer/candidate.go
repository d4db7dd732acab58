package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"
)

// errNoUse is a candidate that an honest client sends and that we have no use for. Nobody needs to be told.
var errNoUse = errors.New("of no use")

// checkCandidate says why a candidate (RFC 8839 section 5.1) is not for Pion to see. Names are never looked up, but those of the local network when the
// operator wants it.
func checkCandidate(line string, r rule) error {
	if len(line) > maxCandidateBytes {
		return fmt.Errorf("candidate of %d bytes; the limit is %d", len(line), maxCandidateBytes)
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return fmt.Errorf("candidate with the character %q at %d: %.60q", line[i], i, line)
		}
	}
	f := strings.Split(strings.TrimPrefix(line, "candidate:"), " ") // as Pion does: the foundation may be empty, which is seen in the wild
	if len(f) < 8 || f[6] != "typ" {
		return fmt.Errorf("candidate not understood: %.60q", line)
	}
	component, protocol, address, port := f[1], f[2], f[4], f[5]
	local := strings.HasSuffix(address, ".local")
	if component != "1" || !strings.EqualFold(protocol, "udp") || local && !r.names {
		return errNoUse // RTCP is multiplexed; over TCP we are called; a viewer that names itself .local arrives as peer reflexive or through TURN
	}
	if a, err := netip.ParseAddr(address); err != nil && !local {
		return fmt.Errorf("candidate with %.60q for an address", address)
	} else if err == nil {
		if err := r.check(a); err != nil {
			return err
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("candidate with port %.10q", port)
	}
	return nil
}

// ufragOf is the ICE user name that a candidate belongs to, if it says so.
func ufragOf(c Candidate) string {
	if c.UsernameFragment != nil {
		return *c.UsernameFragment
	}
	_, rest, ok := strings.Cut(c.Candidate, " ufrag ")
	if !ok {
		return ""
	}
	ufrag, _, _ := strings.Cut(rest, " ")
	return ufrag
}

// withoutForbidden takes the candidates out of a description that Pion must not see.
func withoutForbidden(sdp string, r rule) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		c, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "a=")
		if ok && strings.HasPrefix(c, "candidate:") && checkCandidate(c, r) != nil {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// onCandidate takes a candidate, or keeps it, in order, until the description has come that it belongs to (RFC 8838 section 10): the first,
// or the one of a restart of ICE.
func (c *Conn) onCandidate(cand Candidate) error {
	if cand.Candidate == "" {
		return nil // the end of candidates, which not everybody sends
	}
	if err := checkCandidate(cand.Candidate, c.o.Engine.rule(c.o.Trusted)); err != nil {
		if err != errNoUse {
			c.o.Log.Warn("candidate ignored", "err", err)
		}
		return nil
	}
	pc := c.connection()
	if ufrag := ufragOf(cand); pc == nil || pc.RemoteDescription() == nil || ufrag != "" && !c.knows(ufrag) {
		if len(c.negotiation.early) < c.o.Engine.o.Limits.EarlyCandidates {
			c.negotiation.early = append(c.negotiation.early, cand)
		}
		return nil
	}
	return c.take(pc, cand)
}

// takeEarly takes the candidates that waited for this description. Those of another are late, and dropped.
func (c *Conn) takeEarly(pc *webrtc.PeerConnection) error {
	early := c.negotiation.early
	c.negotiation.early = nil
	for _, cand := range early {
		if ufrag := ufragOf(cand); ufrag != "" && !c.knows(ufrag) {
			continue
		}
		if err := c.take(pc, cand); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) take(pc *webrtc.PeerConnection, cand Candidate) error {
	if most := c.o.Engine.o.Limits.Candidates; c.negotiation.taken >= most {
		return fmt.Errorf("the remote sent more than %d candidates", most)
	}
	c.negotiation.taken++
	if err := pc.AddICECandidate(webrtc.ICECandidateInit{
		Candidate: cand.Candidate, SDPMid: cand.SDPMid, SDPMLineIndex: cand.SDPMLineIndex, UsernameFragment: cand.UsernameFragment,
	}); err != nil {
		c.o.Log.Warn("candidate ignored", "err", err)
		return nil
	}
	c.mayHeal()
	return nil
}

// maxAnswerText is how long an answer that carries its candidates may be, as JSON text: what the service takes in one message (KVS dev guide,
// Limits: 10 k of base64), with some room.
const maxAnswerText = 7400

// shortened drops candidates from a description that is too long to be sent: host candidates first, from the last, then the others.
func shortened(sdp string) string {
	lines := strings.SplitAfter(sdp, "\n")
	size := len(sdp) + 2*len(lines) // a line's end is four characters in JSON
	for _, kind := range []string{" typ host", ""} {
		for i := len(lines) - 1; i >= 0 && size > maxAnswerText; i-- {
			if strings.HasPrefix(lines[i], "a=candidate:") && strings.Contains(lines[i], kind) {
				size -= len(lines[i]) + 2
				lines[i] = ""
			}
		}
	}
	return strings.Join(lines, "")
}
