package fanout

import (
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
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

// source is the SSRC that packets have.
func (t *Track) source() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ssrc
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

// bound says whether the track has a way to the remote.
func (t *Track) Bound() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w != nil
}

// succeed takes a track's place in its RTP stream: numbers and times go on, for the remote and the cipher alike. The other sends no more
// after this.
func (t *Track) Succeed(before *Track) {
	_ = before.Unbind(nil)
	before.mu.Lock()
	defer before.mu.Unlock()
	t.base, t.next, t.rtxNext = before.base, before.next, before.rtxNext
	t.sent, t.octets, t.lost = before.sent, before.octets, before.lost
	t.path, before.path = before.path, bwe.Path{}
}

func (t *Track) rtcpStats() rtcpStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
