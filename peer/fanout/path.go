package fanout

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// The path of a track, each under its lock.

func (t *Track) pathState() bwe.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.State()
}

// newPath begins to learn about another path; most is what it carries at most, 0 is not known.
func (t *Track) newPath(most float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Moved()
	t.path.Most = most
}

// firstArrived is the transport-wide number of the first packet that arrived, by a feedback.
func (t *Track) firstArrived(fci []byte) (uint16, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.FirstArrived(fci)
}

func (t *Track) onFeedback(now time.Time, fci []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.Feedback(now, fci) == nil
}

func (t *Track) onLoss(now time.Time, lost, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Report(now, lost, rate)
}

func (t *Track) onREMB(now time.Time, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.REMB(now, rate)
}

func (t *Track) beginProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.BeginProbe()
}

func (t *Track) endProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.EndProbe()
}

func (t *Track) began() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.firstAt
}

func (t *Track) account(r *TrackReport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Packets, r.Lost = uint64(t.sent), uint64(t.lost)
}

// Bound says whether the track has a way to the remote.
func (t *Track) Bound() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w != nil
}

// Succeed takes a track's place in its RTP stream: numbers and times go on, for the remote and the cipher alike. The
// other sends no more after this.
func (t *Track) Succeed(before *Track) {
	_ = before.Unbind(nil)
	before.mu.Lock()
	defer before.mu.Unlock()
	t.base, t.next, t.rtxNext = before.base, before.next, before.rtxNext
	t.pion, t.rtxPion = before.pion, before.rtxPion
	t.sent, t.octets, t.lost = before.sent, before.octets, before.lost
	t.path, before.path = before.path, bwe.Path{}
}

func (t *Track) rtcpStats() rtcpStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

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
		r := s.probePackets(min(step, left))
		r.flush()
		r.write()
		due = due.Add(time.Duration(float64(step*8) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
}

// probe sends packets that the remote has already once more, some bytes of them, in the retransmission stream: it
// reports on them and does not need them.
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

// goesOn says whether the track has taken the place of one that has sent packets.
func (t *Track) goesOn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent > 0
}

// probePackets seals some bytes of a probe, and gives them with no lock held.
func (s *Sender) probePackets(bytes int) (r retransmits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = retransmits{d: s.direct}
	s.video.probe(bytes, &r)
	return r
}
