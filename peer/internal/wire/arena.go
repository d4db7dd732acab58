package wire

import (
	"net/netip"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
)

const (
	ArenaBytes = 256 << 10 // of encrypted packets before they are written; more does not fit the processor's cache
	bytesARun  = 1 << 10
	partBytes  = PartPackets * (HeaderMost + MaxPayload + SRTPTagLen) // of one part of a frame at most
)

// Arena is where packets are encrypted, one behind the other, and from where they are written: each payload byte is
// copied once. Packets come into it under the locks of their sender and track, so it writes nothing by itself: it
// grows. Its owner looks whether it is full between two viewers, and writes with no lock held that others need.
type Arena struct {
	buf  []byte // of the newest packets
	runs []udpbatch.Run
	ways []*Direct // of each run

	apart bool // the next packet lies not behind the newest run
	stuck bool // the last flush has found no room for all
}

// NewArena makes an arena of some bytes.
func NewArena(size int) *Arena {
	runs := max(1, size/bytesARun)
	return &Arena{buf: make([]byte, 0, size), runs: make([]udpbatch.Run, 0, runs), ways: make([]*Direct, 0, runs)}
}

// Full says whether there is no room for another part of a frame.
func (a *Arena) Full() bool {
	return cap(a.buf)-len(a.buf) < partBytes || cap(a.runs)-len(a.runs) < PartPackets
}

// Slot gives room for one packet of at most n bytes, behind all others. What stands there is void after the next flush.
func (a *Arena) Slot(n int) []byte {
	if len(a.buf)+n > cap(a.buf) {
		a.buf, a.apart = make([]byte, 0, max(cap(a.buf), n)), true // the runs keep the one before until they have left
	}
	start := len(a.buf)
	return a.buf[start : start : start+n]
}

// Commit takes the packet that was written into the last slot.
func (a *Arena) Commit(d *Direct, packet []byte) {
	start := len(a.buf)
	end := start + len(packet)
	a.buf = a.buf[:end]
	if r := a.last(d); r != nil && len(packet) <= r.Size && len(r.Data)%r.Size == 0 &&
		len(r.Data)/r.Size < udpbatch.MaxSegments && len(r.Data)+len(packet) <= udpbatch.MaxBytes {
		r.Data = a.buf[start-len(r.Data) : end]
		return
	}
	a.apart = false
	a.runs = append(a.runs, udpbatch.Run{To: d.To, Data: a.buf[start:end], Size: len(packet)})
	a.ways = append(a.ways, d)
}

// last is the newest run, if it goes where d does and a packet behind it can become part of it.
func (a *Arena) last(d *Direct) *udpbatch.Run {
	i := len(a.runs) - 1
	if i < 0 || a.apart || a.ways[i].Out != d.Out || a.runs[i].To != d.To {
		return nil
	}
	return &a.runs[i]
}

// Flush writes everything, the runs of one socket together, and makes room. It waits for room in the sockets' buffers
// for 2 ms in all; after a wait without success it only tries, until all has found room again.
func (a *Arena) Flush() {
	switch {
	case len(a.runs) == 0:
	case a.stuck:
		a.FlushAtOnce()
	default:
		a.flushBy(udpbatch.Deadline())
	}
}

// FlushAtOnce writes what the sockets take at once, and drops the rest.
func (a *Arena) FlushAtOnce() { a.flushBy(time.Time{}) }

func (a *Arena) flushBy(until time.Time) {
	a.stuck = false
	for from := 0; from < len(a.runs); {
		to := from + 1
		for to < len(a.runs) && a.ways[to].Out == a.ways[from].Out {
			to++
		}
		if a.write(from, to, until) != nil {
			a.writeEach(from, to, until)
		}
		from = to
	}
	a.buf, a.runs, a.ways, a.apart = a.buf[:0], a.runs[:0], a.ways[:0], false
}

// write writes some runs, which have one socket. A panic is given back.
func (a *Arena) write(from, to int, until time.Time) (fault any) {
	defer func() { fault = recover() }()
	if a.ways[from].Out.SendBy(a.runs[from:to], until) {
		a.stuck = true
	}
	return nil
}

// writeEach writes runs one by one, to find whose it is that panics: that connection ends, and the others get what is
// theirs, perhaps once more.
func (a *Arena) writeEach(from, to int, until time.Time) {
	for i := from; i < to; i++ {
		if fault := a.write(i, i+1, until); fault != nil {
			owner := a.ways[i].Owner
			if owner == nil {
				panic(fault)
			}
			owner.Blame("socket", fault)
		}
	}
}

// blamed ends for a panic that somebody else has recovered.
type blamed interface{ Blame(where string, fault any) }

// Direct is the way around Pion: straight into the socket that ICE has chosen, encrypted by us.
type Direct struct {
	Cipher *SRTPCipher
	Out    *udpbatch.Sender
	To     netip.AddrPort
	Owner  blamed // ends when writing its packets panics; nil: the panic goes on
}
