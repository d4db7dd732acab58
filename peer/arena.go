package peer

import "github.com/kvsagent/kvsagent/internal/udpbatch"

const (
	arenaBytes = 256 << 10 // of encrypted packets before they are written; more does not fit the processor's cache
	bytesARun  = 1 << 10
)

// arena is where packets are encrypted, one behind the other, and from where they are written: each payload byte is copied once.
type arena struct {
	buf  []byte
	runs []udpbatch.Run
	ways []*direct // of each run
}

func newArena(size int) *arena {
	runs := max(1, size/bytesARun)
	return &arena{buf: make([]byte, 0, size), runs: make([]udpbatch.Run, 0, runs), ways: make([]*direct, 0, runs)}
}

// slot gives room for one packet of at most n bytes, behind all others. What stands there is void after the next flush.
func (a *arena) slot(n int) []byte {
	if len(a.buf)+n > cap(a.buf) || len(a.runs) == cap(a.runs) {
		a.flush()
	}
	start := len(a.buf)
	return a.buf[start : start : start+n]
}

// commit takes the packet that was written into the last slot.
func (a *arena) commit(d *direct, packet []byte) {
	start := len(a.buf)
	end := start + len(packet)
	a.buf = a.buf[:end]
	if last := len(a.runs) - 1; last >= 0 && a.ways[last].out == d.out {
		r := &a.runs[last]
		whole := len(r.Data)%r.Size == 0
		if r.To == d.to && whole && len(packet) <= r.Size && len(r.Data)/r.Size < udpbatch.MaxSegments && len(r.Data)+len(packet) <= udpbatch.MaxBytes {
			r.Data = a.buf[start-len(r.Data) : end]
			return
		}
	}
	a.runs = append(a.runs, udpbatch.Run{To: d.to, Data: a.buf[start:end], Size: len(packet)})
	a.ways = append(a.ways, d)
}

// flush writes everything, the runs of one socket together, and makes room.
func (a *arena) flush() {
	for from := 0; from < len(a.runs); {
		to := from + 1
		for to < len(a.runs) && a.ways[to].out == a.ways[from].out {
			to++
		}
		if a.write(from, to) != nil {
			a.writeEach(from, to)
		}
		from = to
	}
	a.buf, a.runs, a.ways = a.buf[:0], a.runs[:0], a.ways[:0]
}

// write writes some runs, which have one socket. A panic is given back.
func (a *arena) write(from, to int) (fault any) {
	defer func() { fault = recover() }()
	a.ways[from].out.Send(a.runs[from:to])
	return nil
}

// writeEach writes runs one by one, to find whose it is that panics: that connection ends, and the others get what is theirs, perhaps once more.
func (a *arena) writeEach(from, to int) {
	for i := from; i < to; i++ {
		if fault := a.write(i, i+1); fault != nil {
			a.ways[i].owner.blame("socket", fault)
		}
	}
}
