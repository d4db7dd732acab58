package peer

import (
	"log/slog"
	"sync"
	"time"
)

// State is how far a connection has come.
type State string

// The states of a Conn.
const (
	Negotiating  State = "negotiating" // descriptions are not yet exchanged
	Connecting   State = "connecting"  // ICE or DTLS is under way
	Connected    State = "connected"
	Disconnected State = "disconnected" // nothing heard for a while; may come back by itself
)

// Stages is when each step to the first frame was reached, since New; 0 is not yet.
type Stages struct {
	Offer     time.Duration // sent, or taken
	Answer    time.Duration // sent, or taken
	ICE       time.Duration
	Connected time.Duration // with the DTLS handshake done
	Packet    time.Duration // sent, of whatever track
	Frame     time.Duration // the first key frame sent or received
}

// LogValue writes the stages that were reached.
func (s Stages) LogValue() slog.Value {
	var out []slog.Attr
	for _, x := range []struct {
		name string
		at   time.Duration
	}{{"offer", s.Offer}, {"answer", s.Answer}, {"ice", s.ICE}, {"connected", s.Connected}, {"packet", s.Packet}, {"frame", s.Frame}} {
		if x.at > 0 {
			out = append(out, slog.Duration(x.name, x.at.Round(100*time.Microsecond)))
		}
	}
	return slog.GroupValue(out...)
}

// progress is how far a connection has come. Any goroutine may ask.
type progress struct {
	began time.Time

	mu      sync.Mutex // guards the fields below
	state   State
	stages  Stages
	offered bool     // the first offer was ours; else the remote's
	remote  identity // by its first offer or its last description
}

// reached notes when a stage was reached first, and reports whether this was it.
func (p *progress) reached(stage func(*Stages) *time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := stage(&p.stages)
	if *d != 0 {
		return false
	}
	*d = max(time.Since(p.began), 1)
	return true
}

func (p *progress) soFar() Stages {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stages
}

// wasConnected says whether media has flowed.
func (p *progress) wasConnected() bool { return p.soFar().Connected != 0 }

func (p *progress) enter(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

func (p *progress) is(s State) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == s
}

func (p *progress) setOffered(byUs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offered = byUs
}

// offeredByUs says whether the first offer was ours.
func (p *progress) offeredByUs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offered
}

// meet notes who the remote is by its first offer, before Run has come to it.
func (p *progress) meet(id identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remote.Fingerprint == "" {
		p.remote = id
	}
}

// know notes who the remote is by a description that was taken.
func (p *progress) know(id identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remote = id
}

// who is the remote, as far as it is known.
func (p *progress) who() identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote
}

// report begins a Report.
func (p *progress) report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Report{State: p.state, Offered: p.offered, Began: p.began, Stages: p.stages}
}
