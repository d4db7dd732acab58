package peer

import (
	"fmt"
	"strings"

	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/webrtc/v4"
)

// ufragOf is the ICE user name that a candidate belongs to, if it says so.
func ufragOf(c Candidate) string {
	if c.UsernameFragment == nil {
		return ""
	}
	return *c.UsernameFragment
}

// judged reads a candidate, judges it, and writes it anew: what is kept or given to Pion has nothing of the remote's text in it.
func (o *Config) judged(cand Candidate) (Candidate, error) {
	read, err := sdp.ParseCandidate(cand.Candidate)
	if err == nil && ufragOf(cand) != "" {
		err = read.SetUfrag(*cand.UsernameFragment)
	}
	if err == nil {
		err = o.Engine.rule(o.Trusted).Judge(read)
	}
	if err != nil {
		return Candidate{}, err
	}
	out := Candidate{Candidate: read.String()}
	if read.Ufrag != "" {
		out.UsernameFragment = &read.Ufrag
	}
	return out, nil
}

// onCandidate takes a candidate, or keeps it, in order, until the description has come that it belongs to (RFC 8838 section 10): the first,
// or the one of a restart of ICE.
func (c *Conn) onCandidate(cand Candidate) error {
	if cand.Candidate == "" {
		return nil // the end of candidates, which not everybody sends
	}
	cand, err := c.o.judged(cand)
	if err != nil {
		if err != sdp.ErrNoUse {
			c.o.Log.Warn("candidate ignored", "err", err)
		}
		return nil
	}
	l := c.current()
	if ufrag := ufragOf(cand); l == nil || l.pc.RemoteDescription() == nil || ufrag != "" && !c.negotiation.remote.Has(ufrag) {
		if len(c.negotiation.early) < c.o.Engine.o.Limits.EarlyCandidates {
			c.negotiation.early = append(c.negotiation.early, cand)
		}
		return nil
	}
	return c.take(l, cand)
}

// takeEarly takes the candidates that waited for this description. Those of another are late, and dropped.
func (c *Conn) takeEarly(l *link) error {
	early := c.negotiation.early
	c.negotiation.early = nil
	for _, cand := range early {
		if ufrag := ufragOf(cand); ufrag != "" && !c.negotiation.remote.Has(ufrag) {
			continue
		}
		if err := c.take(l, cand); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) take(l *link, cand Candidate) error {
	if most := c.o.Engine.o.Limits.Candidates; c.negotiation.taken >= most {
		return fmt.Errorf("the remote sent more than %d candidates", most)
	}
	c.negotiation.taken++
	if err := l.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: cand.Candidate}); err != nil {
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
