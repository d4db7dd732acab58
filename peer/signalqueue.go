package peer

import (
	"sync"

	"github.com/kvsagent/kvsagent/peer/internal/sdp"
)

// signalQueue carries signals to the remote in an order that it understands: a description goes before the candidates
// that belong to it. When ICE restarts, Pion finds candidates while the description is still being made.
type signalQueue struct {
	send func(Signal)

	mu      sync.Mutex // guards the fields below, and the order of what is sent
	held    bool
	kept    []Signal
	left    []sdp.Left // sections that we know nothing of, and reject
	into    *Candidate // names the section of all candidates instead of what Pion names; nil: it does not
	section *Candidate // the newest candidate of Pion's: it names the section of all of them
}

// hold keeps candidates back until the next description, and forgets those that still wait for an older one.
func (o *signalQueue) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held, o.kept = true, nil
}

// candidate sends a candidate, or keeps it.
func (o *signalQueue) candidate(c Candidate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.into != nil {
		c.SDPMid, c.SDPMLineIndex = o.into.SDPMid, o.into.SDPMLineIndex
	}
	o.section = &c
	o.add(c)
}

// add sends a candidate, or keeps it, with the lock held.
func (o *signalQueue) add(c Candidate) {
	if o.held {
		o.kept = append(o.kept, c)
		return
	}
	o.send(c)
}

// intoSection has all candidates name a section.
func (o *signalQueue) intoSection(mid string, index int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	line := uint16(index)
	o.into = &Candidate{SDPMid: &mid, SDPMLineIndex: &line}
}

// reject has sections that were left out of the remote's description rejected in ours.
func (o *signalQueue) reject(left []sdp.Left) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = left
}

// description sends a description, and what was kept for it.
func (o *signalQueue) description(s Signal) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch d := s.(type) {
	case Offer:
		d.SDP = sdp.WithRejected(d.SDP, o.left)
		s = d
	case Answer:
		d.SDP = sdp.WithRejected(d.SDP, o.left)
		s = d
	}
	o.send(s)
	for _, c := range o.kept {
		o.send(c)
	}
	o.held, o.kept = false, nil
}

// ownCandidate sends a candidate that Pion knows nothing of, in the section of those that it told of. Before those
// there is none to name.
func (o *signalQueue) ownCandidate(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.section; s != nil {
		o.add(Candidate{Candidate: text, SDPMid: s.SDPMid, SDPMLineIndex: s.SDPMLineIndex})
	}
}
