package peer

import "sync"

// signalQueue carries signals to the remote in an order that it understands: a description goes before the candidates
// that belong to it. When ICE restarts, Pion finds candidates while the description is still being made.
type signalQueue struct {
	send func(Signal)

	mu      sync.Mutex // guards the fields below, and the order of what is sent
	held    bool
	kept    []Signal
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

// description sends a description, and what was kept for it.
func (o *signalQueue) description(s Signal) {
	o.mu.Lock()
	defer o.mu.Unlock()
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
