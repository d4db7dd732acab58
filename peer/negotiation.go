package peer

import (
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/webrtc/v4"
)

// Perfect negotiation (W3C WebRTC 1.0 section 10.7) without a rollback, which Pion does not have: Pion is given an
// offer that we make in mid-session only together with its answer. Until then the offer is pending here, and when the
// remote's offer crosses it, the polite side drops its own.

// steady is a description of the remote's as Pion may see it, in which nothing is paused. ours is the offer that it
// answers, or "".
func (n *negotiation) steady(text, ours string) string {
	d, err := read(text)
	if err != nil {
		return ""
	}
	return n.flow.Steady(d, ours).Marshal()
}

// told is a description of ours as the remote is told it: with what each section really does.
func (n *negotiation) told(ours string, answer bool) string {
	return n.flow.Told(ours, n.receives, answer)
}

// purpose is what an offer of ours in mid-session is for.
type purpose int

const (
	newICE      purpose = iota // to restart ICE
	newCodecs                  // to name codecs that have not been negotiated
	areYouThere                // to hear whether the remote is there, and the same
)

// pendingOffer is an offer of ours in mid-session that waits for its answer.
type pendingOffer struct {
	desc    webrtc.SessionDescription
	purpose purpose
}

// negotiation is what a connection has offered, and what it is about to. It touches no connection and no clock. Run
// owns it.
type negotiation struct {
	polite  bool
	pending *pendingOffer // nil: nothing waits for an answer, but perhaps our first offer, which Pion has
	queue   []purpose     // what is to be offered when the answer has come, each once

	wanted   []media.Codec // named by an offer that is pending or queued; empty: none
	wantedBy time.Time     // when the answer must have come; many viewers take no offers
	// Each is asked for once in a session; true too when the remote's offer rules the answer out.
	asked    map[media.Codec]bool
	ruledOut map[webrtc.RTPCodecType]bool // the remote has no section for it

	lastOffer  string // of the remote, that we answered
	lastAnswer string // ours to it

	remote identity    // by its last description that was taken
	early  []Candidate // before the remote description, in order
	taken  int         // candidates given to Pion since the remote's last ICE credentials
	excess bool        // that there were too many has been told

	receives bool     // we take what the remote sends
	flow     sdp.Flow // what is paused
}

// renegotiateWithin is how long an offer waits that names a codec or adds sound to a session.
const renegotiateWithin = 5 * time.Second

// verdict is what becomes of a remote's offer.
type verdict int

const (
	openForIt    verdict = iota // make a peer connection for it, and answer
	answerIt                    // answer on the connection that there is
	repeatAnswer                // it came twice
	ignoreIt                    // our own offer is under way, and stands
	yieldToIt                   // drop our pending offer, and answer
	startOver                   // drop our first offer with its connection, and answer on another
)

// judge says what becomes of an offer. open: there is a peer connection; first: it waits for the answer to our first
// offer.
func (n *negotiation) judge(offer string, open, first bool) verdict {
	switch {
	case !open:
		return openForIt
	case offer == n.lastOffer:
		return repeatAnswer
	case n.pending == nil && !first:
		return answerIt
	case !n.polite:
		return ignoreIt
	case n.pending != nil:
		return yieldToIt
	}
	return startOver
}

// enqueue notes what is to be offered later.
func (n *negotiation) enqueue(p purpose) {
	if !slices.Contains(n.queue, p) {
		n.queue = append(n.queue, p)
	}
}

// dequeue gives what is to be offered now; ok is false when there is nothing, or an answer must come first.
func (n *negotiation) dequeue() (p purpose, ok bool) {
	if n.pending != nil || len(n.queue) == 0 {
		return 0, false
	}
	p, n.queue = n.queue[0], n.queue[1:]
	return p, true
}

// answered takes the pending offer, whose answer has come; nil: no offer is pending.
func (n *negotiation) answered() *pendingOffer {
	p := n.pending
	n.pending = nil
	if p != nil && p.purpose == newCodecs {
		n.forget(false)
	}
	return p
}

// another says whether the answer to the pending offer is of another connection than the one that there is:
// certificates are made when a process starts.
func (n *negotiation) another(answer string) bool {
	id := identityOf(answer)
	return n.pending != nil && id.Fingerprint != "" && !n.remote.Same(id)
}

// yield drops the pending offer. What it named may be asked for again.
func (n *negotiation) yield() {
	n.pending = nil
	n.forget(true)
}

// want notes what an offer must name, and until when its answer must have come.
func (n *negotiation) want(codecs []media.Codec, now time.Time) {
	if n.wanted == nil {
		n.wantedBy = now.Add(renegotiateWithin)
	}
	n.wanted = codecs
}

// expire gives up the offer that names codecs, and says which they were.
func (n *negotiation) expire() (wanted []media.Codec) {
	wanted = n.wanted
	if n.pending != nil && n.pending.purpose == newCodecs {
		n.pending = nil
	}
	n.forget(false)
	return wanted
}

// forget ends asking. What was asked for may be asked for again if again is true.
func (n *negotiation) forget(again bool) {
	for _, codec := range n.wanted {
		n.asked[codec] = !again
	}
	n.wanted, n.wantedBy = nil, time.Time{}
	n.queue = slices.DeleteFunc(n.queue, func(p purpose) bool { return p == newCodecs })
}

// missing sorts what the source gives and the remote has not agreed to: what to ask for, and the picture that was asked
// for in vain. strict is a remote that takes what it was told to need, and nothing else.
func (n *negotiation) missing(absent []media.Track, strict bool) (ask []media.Codec, refused media.Codec) {
	for _, t := range absent {
		switch {
		case !n.asked[t.Codec] && !strict:
			ask = append(ask, t.Codec)
		case t.Codec.Video():
			return nil, t.Codec
		}
	}
	return ask, ""
}

// ruleOut notes that the remote wants nothing of a kind: it has offered no section for it.
func (n *negotiation) ruleOut(kind webrtc.RTPCodecType) {
	if n.ruledOut == nil {
		n.ruledOut = map[webrtc.RTPCodecType]bool{}
	}
	n.ruledOut[kind] = true
	for _, codec := range sendable() {
		if kindOf(codec) == kind {
			n.asked[codec] = true
		}
	}
}

// keepEarly forgets the early candidates that cannot belong to a remote.
func (n *negotiation) keepEarly(id identity) {
	n.early = slices.DeleteFunc(n.early, func(c Candidate) bool {
		ufrag := ufragOf(c)
		return ufrag != "" && !id.Has(ufrag)
	})
}
