package fanout

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// A probe is as short as can be, so that a path that does not carry it is not filled by it.
const (
	probeTime  = 25 * time.Millisecond
	probeBytes = 6 * wire.MaxPayload // at least
	probePause = 3 * time.Millisecond
)

// probe sends a train of packets at a rate in bit/s.
func (s *Sender) probe(ctx context.Context, rate float64) {
	left := max(int(rate/8*probeTime.Seconds()), probeBytes)
	step := max(int(rate/8*probePause.Seconds()), wire.MaxPayload)
	s.video.beginProbe()
	defer s.video.endProbe()
	for due := time.Now(); left > 0 && ctx.Err() == nil; left -= step {
		s.mu.Lock()
		r := retransmits{d: s.direct}
		s.video.probe(min(step, left), &r)
		s.mu.Unlock()
		r.flush()
		r.write()
		due = due.Add(time.Duration(float64(step*8) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
}

// probe sends packets that the remote has already once more, some bytes of them, in the retransmission stream: it reports on them and needs them not.
func (t *Track) probe(bytes int, r *retransmits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil || t.rtxSSRC == 0 || t.history == nil {
		return
	}
	now := time.Now()
	for bytes > 0 {
		before := bytes
		for back := 1; back <= probeFrames && bytes > 0; back++ {
			f := t.history.back(back)
			if f == nil {
				break
			}
			for i := 0; i < len(f.p.payloads) && bytes > 0; i++ {
				t.retransmit(f, i, now, r)
				bytes -= f.p.payloads[i].size()
			}
		}
		if bytes == before {
			return
		}
	}
}

// probeFrames is from how many of the newest frames a probe takes its packets.
const probeFrames = 8

// canProbe says whether the remote takes probes and reports on them.
func (t *Track) canProbe() bool { return t.twcc != 0 && t.rtxSSRC != 0 }
