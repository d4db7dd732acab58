package peer

import (
	"net/netip"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
)

const (
	arenaBytes = 256 << 10 // of encrypted packets before they are written; more does not fit the processor's cache
	arenaRuns  = 256
)

// arena is where packets are encrypted, one behind the other, and from where they are written: each payload byte is copied once.
type arena struct {
	out  *udpbatch.Sender
	buf  []byte
	runs []udpbatch.Run
}

func newArena(out *udpbatch.Sender, size int) *arena {
	return &arena{out: out, buf: make([]byte, 0, size), runs: make([]udpbatch.Run, 0, arenaRuns)}
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
func (a *arena) commit(to netip.AddrPort, packet []byte) {
	start := len(a.buf)
	end := start + len(packet)
	a.buf = a.buf[:end]
	if len(a.runs) > 0 {
		r := &a.runs[len(a.runs)-1]
		whole := len(r.Data)%r.Size == 0
		if r.To == to && whole && len(packet) <= r.Size && len(r.Data)/r.Size < udpbatch.MaxSegments && len(r.Data)+len(packet) <= udpbatch.MaxBytes {
			r.Data = a.buf[start-len(r.Data) : end]
			return
		}
	}
	a.runs = append(a.runs, udpbatch.Run{To: to, Data: a.buf[start:end], Size: len(packet)})
}

// flush writes everything and makes room.
func (a *arena) flush() {
	if len(a.runs) > 0 {
		a.out.Send(a.runs)
	}
	a.buf, a.runs = a.buf[:0], a.runs[:0]
}
