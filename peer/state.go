package peer

import (
	"log/slog"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
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
	}{{"offer", s.Offer}, {"answer", s.Answer}, {"ice", s.ICE}, {"connected", s.Connected}, {"packet",
		s.Packet}, {"frame", s.Frame}} {
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
	offered bool          // the first offer was ours; else the remote's
	remote  identity      // by its first offer or its last description
	rtt     time.Duration // of ICE's checks, when Run last asked
	gather  time.Time     // when all first candidates were found
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

// gatheredAll notes that all candidates were found, the first time.
func (p *progress) gatheredAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gather.IsZero() {
		p.gather = time.Now()
	}
}

// timeline is how the session came about, for a viewer that asks.
func (p *progress) timeline(signaling func() (start, end time.Time)) (t transport.Timeline) {
	if signaling != nil {
		t.SignalingStart, t.SignalingEnd = signaling()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := func(stage time.Duration) time.Time {
		if stage == 0 {
			return time.Time{}
		}
		return p.began.Add(stage)
	}
	t.Offer, t.Answer, t.Connected = p.began, at(p.stages.Answer), at(p.stages.Connected)
	t.GatheringEnd = p.gather
	return t
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

// measured notes the round trip of ICE's checks.
func (p *progress) measured(rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rtt = rtt
}

// roundTrip is the last that was measured.
func (p *progress) roundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt
}

// report begins a Report.
func (p *progress) report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Report{State: p.state, Offered: p.offered, Began: p.began, Stages: p.stages}
}

// Report is a connection at one moment.
type Report struct {
	State         State
	Offered       bool // we made the first offer; else the remote did
	Began         time.Time
	Stages        Stages
	Local, Remote string        // types of the chosen candidates: host, srflx, prflx, relay
	RTT           time.Duration // by the remote's receiver reports, before the first by ICE
	Jitter        time.Duration // of the arrival of our pictures, by the remote's receiver reports
	Direct        bool          // what we send goes straight into the shared socket, not through Pion
	Level         fanout.Level
	Moves         uint64               // from one level to another
	Estimate      float64              // bit/s that the path carries, as far as is known; 0 is not
	Behind        time.Duration        // that a picture waits, here and in the path's queue
	Sending       []fanout.TrackReport // the tracks there are now
	Sent          uint64               // bytes of media, of tracks that have given way, too
	Receiving     []fanout.TrackReport
	Stray         string // why media that came is not taken; "" when none came that belongs to no section
	Unasked       uint64 // bytes of media that came though we asked for none, and were thrown away
}

// Report tells how the connection is. It asks nobody who may be stuck: neither Run nor Pion's loop of ICE.
func (c *Conn) Report() (r Report) {
	defer c.guard.Contain("report")
	r = c.progress.report()
	l := c.current()
	c.outgoing.report(&r)
	if l == nil {
		return r
	}
	if l.receiver != nil {
		r.Stray = l.receiver.Stray()
		for _, s := range l.receiver.Report() {
			r.Receiving = append(r.Receiving, fanout.TrackReport{
				Track: s.Track, Packets: s.Packets, Lost: s.Lost, Frames: s.Frames, KeyFrames: s.KeyFrames,
				Bytes: s.Bytes,
				FPS:   s.FPS, Bitrate: s.Bitrate,
			})
		}
	}
	r.Unasked = l.inbound.UnaskedBytes()
	if r.State != Negotiating { // before, Pion writes what reading the pair reads
		if pair := l.pair(); pair != nil {
			r.Local, r.Remote = pair.Local.Typ.String(), pair.Remote.Typ.String()
		}
	}
	if r.RTT == 0 {
		r.RTT = c.progress.roundTrip()
	}
	return r
}
