package bwe

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	inFlight  = 2048                   // packets that are kept until feedback comes; a power of two
	window    = 500 * time.Millisecond // for rates and losses
	slot      = 50 * time.Millisecond  // a part of it
	slots     = int(window / slot)
	emptyFor  = 15 * time.Second // the shortest time for which the fastest packet counts as one that did not wait
	choked    = 0.75             // of what is sent: if less arrives, the path has become much too narrow
	pause     = 4 * slot
	recent    = 4 // slots: how many it takes to detect that a path has become narrow
	least     = 100_000
	rising    = 15 * time.Millisecond
	standing  = 30 * time.Millisecond  // shorter waits are not a queue: clocks and radios are coarse
	lossy     = 0.12                   // of all packets: only a full path drops more
	fewest    = 10                     // packets, for a loss ratio
	overtaken = 150 * time.Millisecond // a packet is lost when one sent so much later has arrived
	keep      = 0.90                   // of what a full path carried becomes the estimate
	growth    = 0.08                   // of the estimate per second
	headroom  = 1.5                    // the estimate grows up to this multiple of the arriving rate without a probe
	firstRate = 300_000
)

// Path is what is known of one path. The zero value is ready; its owner locks it. Callers pass the time, so that tests
// need no clock.
type Path struct {
	Most float64 // bit/s, an upper bound from elsewhere; 0 means none

	zero time.Time // of the send times
	next uint16    // sequence number
	ring *[inFlight]sent

	last     uint32 // base sequence number and feedback count of the last feedback
	origin   time.Duration
	started  bool
	newest   time.Duration // arrival by the remote's clock
	received rates
	offered  rates
	judged   uint16 // the first packet that is not yet known to be lost or not
	losses   [2]losses
	lossesAt time.Duration

	// Least one-way time, including the clocks' difference, of the current and the next window.
	floor, nextFloor time.Duration
	floorAt          time.Duration // when the floor was last updated
	waits            [8]wait       // recent least waits, newest first

	probe    probe
	estimate float64
	full     bool
	fullAt   time.Time
	updated  time.Time
	remb     float64
}

// sent is one packet in flight: its send time, in ticks since zero, which wrap in 12 days; its size; and the part of
// its number that its index does not give.
type sent struct {
	at   uint32
	size uint16
	lap  uint8
	out  bool
}

func lap(seq uint16) uint8 { return uint8(seq / inFlight) }

// wait is the least wait of the packets of a period.
type wait struct {
	since, least time.Duration
}

// Send records that a packet of size bytes leaves now, and returns its transport-wide sequence number.
func (p *Path) Send(now time.Time, size int) uint16 {
	if p.ring == nil {
		p.ring, p.zero = &[inFlight]sent{}, now
	}
	seq := p.next
	p.next++
	at := now.Sub(p.zero)
	p.ring[seq%inFlight] = sent{at: uint32(at / tick), size: uint16(size), lap: lap(seq), out: true}
	p.offered.add(at, size)
	p.probe.sent(seq, at, size)
	return seq
}

// Feedback handles a feedback message without its RTCP header and SSRCs. A duplicate counts once.
func (p *Path) Feedback(now time.Time, fci []byte) error {
	if len(fci) < feedbackHead {
		return errFeedback
	}
	if p.ring == nil {
		return nil
	}
	id := uint32(binary.BigEndian.Uint16(fci))<<8 | uint32(fci[7])
	if p.started && id == p.last {
		return nil
	}
	p.last = id
	least := time.Duration(math.MaxInt64)
	since := now.Sub(p.zero)
	known, newestLeft := 0, time.Duration(0)
	err := arrivals(fci, func(seq uint16, at time.Duration, got bool) {
		s := &p.ring[seq%inFlight]
		if !s.out || s.lap != lap(seq) {
			return
		}
		known++
		if !got {
			return // it may still arrive: later feedback will tell
		}
		s.out = false
		at = p.unwrapped(at)
		left := since - time.Duration(uint32(since/tick)-s.at)*tick
		p.received.add(at, int(s.size))
		p.probe.arrived(seq, at)
		least, newestLeft = min(least, at-left), max(newestLeft, left)
		p.newest = max(p.newest, at)
	})
	if known == 0 {
		return err
	}
	p.judge(since, newestLeft-overtaken)
	if least != math.MaxInt64 {
		p.wait(least)
	}
	p.update(now)
	return err
}

// FirstArrived gives the number of the first packet that has arrived, from a feedback message as Feedback takes it. ok
// is false when the message names no packet that was sent.
func (p *Path) FirstArrived(fci []byte) (first uint16, ok bool) {
	err := arrivals(fci, func(seq uint16, _ time.Duration, got bool) {
		if got && !ok {
			first, ok = seq, true
		}
	})
	return first, ok && err == nil && first < p.next
}

// unwrapped converts the remote's clock, which starts anywhere and wraps in 12 days, to one that starts at zero and
// does not wrap.
func (p *Path) unwrapped(at time.Duration) time.Duration {
	const around = reference << 24
	if !p.started {
		p.started, p.origin = true, at
	}
	at -= p.origin
	for at-p.newest > around/2 {
		at -= around
		p.origin += around
	}
	for p.newest-at > around/2 {
		at += around
		p.origin -= around
	}
	return at
}

// wait records the one-way time of the fastest packet of a feedback.
func (p *Path) wait(way time.Duration) {
	now := p.newest
	switch {
	case p.floorAt == 0:
		p.floor, p.nextFloor, p.floorAt = way, way, max(now, 1)
	case now-p.floorAt > emptyFor:
		p.floor, p.nextFloor, p.floorAt = p.nextFloor, way, now
	}
	p.floor, p.nextFloor = min(p.floor, way), min(p.nextFloor, way)
	least := way - p.floor
	if w := &p.waits[0]; now-w.since < slot && w.since > 0 {
		w.least = min(w.least, least)
		return
	}
	if now-p.waits[0].since > pause {
		p.waits = [8]wait{} // the earlier waits no longer apply
	}
	copy(p.waits[1:], p.waits[:])
	p.waits[0] = wait{max(now, 1), least}
}

// Queue returns how long the fastest recent packets have waited in the path.
func (p *Path) Queue() time.Duration { return p.least(0, 4) }

// least returns the least wait of some of the last slots.
func (p *Path) least(from, to int) time.Duration {
	least := p.waits[from].least
	for _, w := range p.waits[from+1 : to] {
		least = min(least, w.least)
	}
	return least
}

// growing reports whether even the fastest packets wait, and longer than a moment ago. A large picture also makes such
// a queue for a moment, but then packets arrive faster than they are sent on average. A path that has become much too
// narrow is detected by its arriving rate.
func (p *Path) growing(now time.Duration) bool {
	longer := func(n int, wait, more time.Duration) bool {
		late, before := p.least(0, n), p.least(n, 2*n)
		return p.waits[2*n-1].since > 0 && late > wait && late > before+more
	}
	return longer(4, standing, rising) ||
		longer(2, 2*standing, 2*rising) && p.received.bits(p.newest, recent) < choked*p.offered.bits(now, slots)
}

// losses counts packets whose fate is known.
type losses struct{ lost, all int }

// judge counts the packets sent before a time: those without an arrival are lost.
func (p *Path) judge(now, before time.Duration) {
	switch since := now - p.lossesAt; {
	case since > 2*window:
		p.losses, p.lossesAt = [2]losses{}, now
	case since > window:
		p.losses, p.lossesAt = [2]losses{1: p.losses[0]}, now
	}
	if p.next-p.judged > inFlight {
		p.judged = p.next - inFlight
	}
	for ; p.judged != p.next; p.judged++ {
		s := &p.ring[p.judged%inFlight]
		age := time.Duration(uint32(now/tick)-s.at) * tick
		if now-age > before {
			return
		}
		if age > 2*window {
			continue // no feedback for a while
		}
		p.losses[0].all++
		if s.out {
			p.losses[0].lost++
		}
	}
}

// Loss returns the recent share of lost packets, over half a second to a second.
func (p *Path) Loss() float64 {
	if all := p.losses[0].all + p.losses[1].all; all >= fewest {
		return float64(p.losses[0].lost+p.losses[1].lost) / float64(all)
	}
	return 0
}

// update adjusts the estimate to the measurements.
func (p *Path) update(now time.Time) {
	arrived := p.received.bits(p.newest, slots)
	since := now.Sub(p.zero)
	took := now.Sub(p.updated)
	p.updated = now
	if p.estimate == 0 {
		p.estimate = max(firstRate, arrived)
	}
	switch {
	case p.growing(since):
		p.fill(now, since, p.received.bits(p.newest, recent))
	case p.Loss() > lossy:
		p.fill(now, since, arrived)
	default:
		p.full = false
		if grown := p.estimate * (1 + growth*min(took.Seconds(), 1)); grown < headroom*arrived {
			p.estimate = grown
		}
		p.estimate = max(p.estimate, min(arrived, p.offered.bits(since, slots)))
	}
	if rate, done := p.probe.result(); done {
		p.estimate = max(rate, keep*arrived)
		p.probe.forget()
	}
	p.bound()
}

// fill records that the path is full and carries that many bit/s. The arriving rate shows that only while more was sent
// the whole time.
func (p *Path) fill(now time.Time, since time.Duration, carried float64) {
	p.full, p.fullAt = true, now
	if p.offered.bits(since, slots) > carried && p.offered.began(since) {
		p.estimate = min(p.estimate, max(keep*carried, least))
	}
	p.probe.forget()
}

func (p *Path) bound() {
	if p.Most > 0 {
		p.estimate = min(p.estimate, p.Most)
	}
	if p.remb > 0 {
		p.estimate = min(p.estimate, p.remb)
	}
}

// Report handles the loss ratio of a receiver report (RFC 3550 section 6.4.1) and the rate that was sent meanwhile. It
// is ignored while there is feedback on each packet, which is more precise.
func (p *Path) Report(now time.Time, lost, rate float64) {
	if p.started {
		return
	}
	if p.estimate == 0 {
		p.estimate = max(firstRate, rate)
	}
	took := now.Sub(p.updated)
	p.updated = now
	switch {
	case lost > lossy:
		p.full, p.fullAt = true, now
		p.estimate = min(p.estimate, rate) * (1 - 0.5*lost)
	case lost < lossy/5:
		p.full = false
		p.estimate = max(min(p.estimate*(1+growth*min(took.Seconds(), 1)), headroom*rate), rate)
	default:
		p.full = false
	}
	p.bound()
}

// REMB handles the remote's own estimate in bit/s (draft-alvestrand-rmcat-remb-03), an upper bound.
func (p *Path) REMB(now time.Time, rate float64) {
	p.remb = rate
	if p.started {
		p.bound()
		return
	}
	p.estimate, p.updated = rate, now
	p.bound()
}

// Moved resets the state: packets now take another path.
func (p *Path) Moved() {
	p.floorAt, p.waits, p.received, p.losses, p.full, p.estimate = 0, [8]wait{}, rates{}, [2]losses{}, false, 0
	p.probe.forget()
}

// State is a snapshot of a path.
type State struct {
	Estimate float64       // bit/s that the path can carry, as far as known; 0 means unknown
	Arriving float64       // bit/s that arrive at the far end
	Queue    time.Duration // the least wait of a packet in the path
	Waiting  time.Duration // the wait of the last packets
	Loss     float64       // share of packets
	Full     bool          // more is sent than the path can carry
	FullAt   time.Time     // when it was last full; zero means never
	Fine     bool          // there is feedback on each packet, so probes work
}

// State returns the current state.
func (p *Path) State() State {
	return State{
		Estimate: p.estimate, Arriving: p.received.bits(p.newest, slots), Queue: p.Queue(), Waiting: p.waits[0].least,
		Loss: p.Loss(), Full: p.full, FullAt: p.fullAt, Fine: p.started,
	}
}
