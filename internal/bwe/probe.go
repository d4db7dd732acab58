package bwe

import "time"

// probe is a train of packets that is sent faster than usual, to test whether the path carries that.
type probe struct {
	open, active    bool
	first, last     uint16
	packets         int
	sentAt, sentEnd time.Duration
	sentBytes       int // after the first packet
	got             int
	gotAt, gotEnd   time.Duration
	sizes           [maxProbe]uint16
	gotBytes        int // of all packets, and of the first
	firstSize       int
	lastSeen        bool
}

// maxProbe is the maximum number of packets in a probe.
const maxProbe = 64

// BeginProbe makes a probe of the packets that are sent from now until EndProbe. The result of an earlier probe is
// dropped.
func (p *Path) BeginProbe() {
	p.probe = probe{open: true, active: true}
	p.estimate = min(p.estimate, max(firstRate, headroom*p.received.bits(p.newest, slots)))
}

// EndProbe ends the probe. Its result becomes the estimate once feedback has arrived.
func (p *Path) EndProbe() { p.probe.open = false }

func (b *probe) forget() { *b = probe{} }

func (b *probe) sent(seq uint16, at time.Duration, size int) {
	if !b.open || b.packets == maxProbe {
		return
	}
	if b.packets == 0 {
		b.first, b.sentAt = seq, at
	} else {
		b.sentBytes += size
	}
	b.sizes[b.packets] = uint16(size)
	b.packets++
	b.last, b.sentEnd = seq, at
}

func (b *probe) arrived(seq uint16, at time.Duration) {
	i := int(seq - b.first)
	if !b.active || i >= b.packets {
		return
	}
	size := int(b.sizes[i])
	if b.got == 0 || at < b.gotAt {
		b.gotAt, b.firstSize = at, size
	}
	b.got++
	b.gotBytes += size
	b.gotEnd = max(b.gotEnd, at)
	b.lastSeen = b.lastSeen || seq == b.last
}

// result returns the rate at which a probe arrived, in bit/s, once most of it, including its end, has.
func (b *probe) result() (rate float64, done bool) {
	if b.open || !b.active || b.packets < 3 || !b.lastSeen || b.got*10 < b.packets*8 {
		return 0, false
	}
	out, in := b.sentEnd-b.sentAt, max(b.gotEnd-b.gotAt, tick)
	sending := float64(b.sentBytes*8) / max(out, tick).Seconds()
	coming := float64((b.gotBytes-b.firstSize)*8) / in.Seconds()
	if coming < keep*sending {
		return coming * 0.95, true // the train was stretched on its way: this is what the path carries
	}
	return min(sending, coming), true
}
