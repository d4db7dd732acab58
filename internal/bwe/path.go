package bwe

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	inFlight  = 2048                   // packets that are remembered until feedback comes; a power of two
	window    = 500 * time.Millisecond // over which rates and losses are taken
	slot      = 50 * time.Millisecond  // a part of it
	slots     = int(window / slot)
	emptyFor  = 15 * time.Second // how long the fastest packet ever counts as one that did not wait, at least
	choked    = 0.75             // of what is sent: less than this comes out of a path that has become much too narrow
	pause     = 4 * slot
	recent    = 4 // slots: as many as a path that has become narrow needs to be found out
	least     = 100_000
	rising    = 15 * time.Millisecond
	standing  = 30 * time.Millisecond  // of waiting is no queue yet: clocks and radios are coarse
	lossy     = 0.12                   // of all packets: more than this is what a full path drops
	fewest    = 10                     // packets, for a share of lost ones
	overtaken = 150 * time.Millisecond // a packet is lost when one that left so much later has arrived
	keep      = 0.90                   // of what a full path carried is what it is good for
	growth    = 0.08                   // of the estimate each second
	headroom  = 1.5                    // times what has arrived is as far as it grows without a probe
	firstRate = 300_000
)

// Path is what is known of one path. The zero value is ready; its owner locks it. Times are what the owner says, so
// that tests need no clock.
type Path struct {
	Most float64 // bit/s, an upper bound that is known from elsewhere; 0 is none

	zero time.Time // of the sending times
	next uint16    // sequence number
	ring *[inFlight]sent

	last     uint32 // base sequence number, feedback count: of the last feedback
	origin   time.Duration
	started  bool
	newest   time.Duration // arrival by the remote's clock
	received rates
	offered  rates
	judged   uint16 // the first packet of which is not known whether it is lost
	losses   [2]losses
	lossesAt time.Duration

	floor, nextFloor time.Duration // least one-way time, clocks' difference and all: of now, and of the window to come
	floorAt          time.Duration // when that was last moved on
	waits            [8]wait       // least waiting of late, the newest first

	probe    probe
	estimate float64
	full     bool
	fullAt   time.Time
	updated  time.Time
	remb     float64
}

// sent is one packet on its way: when it left, in ticks since zero, which go around in 12 days; its size, and the part
// of its number that its place does not tell.
type sent struct {
	at   uint32
	size uint16
	lap  uint8
	out  bool
}

func lap(seq uint16) uint8 { return uint8(seq / inFlight) }

// wait is the least waiting of the packets of a while.
type wait struct {
	since, least time.Duration
}

// Send notes that a packet of size bytes leaves now, and gives its transport-wide sequence number.
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

// Feedback takes a feedback message without its RTCP header and SSRCs. One that came twice counts once.
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
			return // it may still come: a later feedback tells
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

// unwrapped makes the remote's clock, which starts anywhere and goes around in 12 days, one that starts at zero and
// goes on.
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

// wait takes the time that the fastest packet of a feedback was on its way.
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
		p.waits = [8]wait{} // what was before tells nothing of now
	}
	copy(p.waits[1:], p.waits[:])
	p.waits[0] = wait{max(now, 1), least}
}

// Queue returns how long the fastest packets of late have waited in the path.
func (p *Path) Queue() time.Duration { return p.least(0, 4) }

// least returns the least waiting in some of the last slots.
func (p *Path) least(from, to int) time.Duration {
	least := p.waits[from].least
	for _, w := range p.waits[from+1 : to] {
		least = min(least, w.least)
	}
	return least
}

// growing reports whether even the fastest packets wait, and longer than they did a moment ago. A large picture makes
// such a queue too, for a moment, but then packets come out faster than they are sent on the whole; a path that has
// become much too narrow is told by that.
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

// judge counts the packets that left before a time: those that are still out are lost.
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
			continue // nothing was heard for a while
		}
		p.losses[0].all++
		if s.out {
			p.losses[0].lost++
		}
	}
}

// Loss returns the share of packets that did not arrive, of late: over half a second to a second.
func (p *Path) Loss() float64 {
	if all := p.losses[0].all + p.losses[1].all; all >= fewest {
		return float64(p.losses[0].lost+p.losses[1].lost) / float64(all)
	}
	return 0
}

// update makes the estimate follow what was seen.
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

// fill notes that the path is full and carries that much, in bit/s. What came out tells that only while more was put
// in, all the time.
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

// Report takes the share of packets lost that a receiver report tells (RFC 3550 section 6.4.1), and the rate at which
// was sent meanwhile. It is heard only while there is no feedback on each packet, which tells more.
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

// REMB takes the remote's own estimate in bit/s (draft-alvestrand-rmcat-remb-03): never more than that.
func (p *Path) REMB(now time.Time, rate float64) {
	p.remb = rate
	if p.started {
		p.bound()
		return
	}
	p.estimate, p.updated = rate, now
	p.bound()
}

// Moved forgets what was known: the packets go another way now.
func (p *Path) Moved() {
	p.floorAt, p.waits, p.received, p.losses, p.full, p.estimate = 0, [8]wait{}, rates{}, [2]losses{}, false, 0
	p.probe.forget()
}

// State is what is known of a path at one moment.
type State struct {
	Estimate float64       // bit/s that it carries, as far as is known; 0 is not known
	Arriving float64       // bit/s that come out at the far end
	Queue    time.Duration // that a packet waits in it at least
	Waiting  time.Duration // that the last packets have waited in it
	Loss     float64       // share of packets
	Full     bool          // more is sent than it carries
	FullAt   time.Time     // when that was so last; zero is never
	Fine     bool          // there is feedback on each packet, so that probes tell something
}

// State returns what is known now.
func (p *Path) State() State {
	return State{
		Estimate: p.estimate, Arriving: p.received.bits(p.newest, slots), Queue: p.Queue(), Waiting: p.waits[0].least,
		Loss: p.Loss(), Full: p.full, FullAt: p.fullAt, Fine: p.started,
	}
}
