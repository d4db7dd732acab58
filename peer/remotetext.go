package peer

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/webrtc/v4"
)

// Remotes says to which of the addresses that a remote names we send packets. Those that it is heard from, with the
// password that it was told, are answered whatever this says: the remote is there, and can reach us.
type Remotes = sdp.Remotes

// OnLink, the default, is the internet and the networks that this host is on itself. A remote in another network of the
// same site tries our addresses, and is heard. Public is the internet alone, and All is what the routers know.
const (
	OnLink = sdp.OnLink
	Public = sdp.Public
	All    = sdp.All
)

// rule is where a remote may send us by naming an address.
func (e *Engine) rule(trusted bool) sdp.Rule {
	r := sdp.Rule{Remotes: e.o.Remotes, Loopback: e.o.Loopback, Names: e.o.MDNS}
	if trusted || e.host == nil {
		r.Remotes = All
	}
	r.Own = trusted // our own master may be on this host; its port is not ours
	if e.host != nil {
		r.Networks = e.host.Networks()
	}
	return r
}

// read reads a description that has been held to the limits already, or is ours.
func read(text string) (*sdp.Description, error) {
	return sdp.Parse(text, sdp.Limits{Bytes: 1 << 20, Sections: 1 << 10})
}

type (
	identity    = sdp.Identity
	remoteCodec = sdp.Codec
)

// identityOf is who made a description; zero for text that is not one.
func identityOf(text string) identity {
	d, err := read(text)
	if err != nil {
		return identity{}
	}
	return d.Identity()
}

// offeredCodecs lists what an offer has, by kind ("video", "audio"), in the remote's order.
func offeredCodecs(text string) (map[string][]remoteCodec, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}
	return d.Codecs(), nil
}

// negotiatedCodecs lists what an answer settles on: the first codec of each section that is not rejected.
func negotiatedCodecs(text string) []media.Codec {
	d, err := read(text)
	if err != nil {
		return nil
	}
	return d.Negotiated()
}

// withoutForbidden writes a description as Pion may see it: anew, and without the candidates that the rule forbids.
// surplus is how many were left out since there were too many.
func withoutForbidden(text string, r sdp.Rule) (clean string, surplus int) {
	d, err := read(text)
	if err != nil {
		return "", 0
	}
	return d.Judged(r).Marshal(), d.Surplus
}

// withMids gives each section of a description that Pion or Marshal wrote the mid of the other side's, where it has
// none.
func withMids(ours, theirs string) string {
	d, err := read(theirs)
	if err != nil {
		return ours
	}
	return sdp.WithMids(ours, d.Mids())
}

// withLevel tells an H.264 level in an answer of ours.
func withLevel(answer, level string) string { return sdp.WithLevel(answer, level) }

// matchCodec finds what a remote offers for a track.
func matchCodec(t media.Track, offered []remoteCodec) (remoteCodec, bool) {
	return sdp.Match(t.Codec, profileOf(t), offered)
}

// names lists codecs for people.
func names(codecs []remoteCodec) string { return sdp.Names(codecs) }

// DataAlone says whether an offer has a section for data channels that can be taken while all others are turned down.
func DataAlone(offer string) bool {
	d, err := read(offer)
	return err == nil && d.DataAlone()
}

// withoutData leaves the sections for data channels out of a description; "" when there are no others.
func withoutData(text string) (rest string, left []sdp.Left) {
	d, err := read(text)
	if err != nil {
		return text, nil
	}
	rest, left = d.WithoutData(text)
	if len(left) == len(d.Sections) {
		return "", left
	}
	return rest, left
}

// Refusal answers an offer with every media section rejected (port 0, RFC 3264 section 6): the viewer learns at once
// that there is nothing for it here, instead of waiting for an answer that never comes. KVS itself has no such message.
// The reason stands in the session name, for people who read it. An offer that is not understood has no sections to
// reject.
func Refusal(offer string, reason Reason) string {
	d, err := read(offer)
	if err != nil {
		d = &sdp.Description{}
	}
	return d.Refusal(reason.Text())
}

// carryingData is an answer that takes an offer's data channel alone, for browsers of every policy of bundling.
func (o *signalQueue) carryingData(answer, offer string) string {
	d, err := read(offer)
	if err != nil {
		return answer
	}
	answer, mid, at := d.CarryData(answer)
	if at >= 0 {
		o.intoSection(mid, at)
	}
	return answer
}

// refusedBy reads a refusal: an answer that rejects every section of media.
func refusedBy(answer string) (reason string, refused bool) {
	d, err := read(answer)
	if err != nil {
		return "", false
	}
	return d.Refused()
}

// ufragOf is the ICE user name that a candidate belongs to, if it says so.
func ufragOf(c Candidate) string {
	if c.UsernameFragment == nil {
		return ""
	}
	return *c.UsernameFragment
}

// judged reads a candidate, judges it, and writes it anew: what is kept or given to Pion has nothing of the remote's
// text in it.
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

// onCandidate takes a candidate, or keeps it, in order, until the description has come that it belongs to (RFC 8838
// section 10): the first, or the one of a restart of ICE.
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
	if ufrag := ufragOf(cand); l == nil || l.pc.RemoteDescription() == nil || ufrag != "" &&
		!c.negotiation.remote.Has(ufrag) {
		c.negotiation.early = keepNewest(c.negotiation.early, cand, c.o.Engine.o.Limits.EarlyCandidates)
		return nil
	}
	return c.take(l, cand)
}

// keepNewest adds a candidate to those that wait. When there is no room, the oldest of another description gives way:
// a page that is reloaded goes on sending those of before for a moment, and nobody will use them.
func keepNewest(waiting []Candidate, cand Candidate, most int) []Candidate {
	if len(waiting) >= most {
		i := slices.IndexFunc(waiting, func(w Candidate) bool {
			return ufragOf(cand) == "" || ufragOf(w) != ufragOf(cand) // who does not say may have reloaded
		})
		if i < 0 {
			return waiting
		}
		waiting = slices.Delete(waiting, i, i+1)
	}
	return append(waiting, cand)
}

// Useful says whether a candidate has to be kept for a connection of the engine. Those over TCP, of other components,
// and of names that are not looked up are of no use; one that is wrong has yet to be told.
func (e *Engine) Useful(c Candidate) bool {
	read, err := sdp.ParseCandidate(c.Candidate)
	if err == nil {
		err = e.rule(false).Judge(read)
	}
	return err != sdp.ErrNoUse
}

// Ufrag is the ICE user name of the description that a candidate says it belongs to; "" when it does not say.
func (c Candidate) Ufrag() string {
	if ufrag := ufragOf(c); ufrag != "" {
		return ufrag
	}
	read, err := sdp.ParseCandidate(c.Candidate)
	if err != nil {
		return ""
	}
	return read.Ufrag
}

// HasUfrag says whether a description has an ICE user name.
func HasUfrag(description, ufrag string) bool { return identityOf(description).Has(ufrag) }

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

// surplus tells once that the remote names more candidates than are taken.
func (n *negotiation) surplus(log *slog.Logger, most int) {
	if !n.excess {
		n.excess = true
		log.Warn("the remote names more candidates than are taken; the others are left out", "taken", most)
	}
}

func (c *Conn) take(l *link, cand Candidate) error {
	if most := c.o.Engine.o.Limits.Candidates; c.negotiation.taken >= most {
		c.negotiation.surplus(c.o.Log, most)
		return nil
	}
	c.negotiation.taken++
	if err := l.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: cand.Candidate}); err != nil {
		c.o.Log.Warn("candidate ignored", "err", err)
		return nil
	}
	c.mayHeal()
	return nil
}

// maxAnswerText is how long an answer that carries its candidates may be, as JSON text: what the service takes in one
// message (KVS dev guide, Limits: 10 k of base64), with some room.
const maxAnswerText = 7400

// shortened drops candidates from a description that is too long to be sent: host candidates first, from the last, then
// the others.
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
