package peer

import (
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
)

// The path of a track, each under its lock.

func (t *outTrack) pathState() bwe.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.State()
}

// newPath begins to learn about another path; most is what it carries at most, 0 is not known.
func (t *outTrack) newPath(most float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Moved()
	t.path.Most = most
}

// firstArrived is the transport-wide number of the first packet that arrived, by a feedback.
func (t *outTrack) firstArrived(fci []byte) (uint16, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.FirstArrived(fci)
}

func (t *outTrack) onFeedback(now time.Time, fci []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path.Feedback(now, fci) == nil
}

func (t *outTrack) onLoss(now time.Time, lost, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.Report(now, lost, rate)
}

func (t *outTrack) onREMB(now time.Time, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.REMB(now, rate)
}

func (t *outTrack) beginProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.BeginProbe()
}

func (t *outTrack) endProbe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path.EndProbe()
}

// source is the SSRC that packets have.
func (t *outTrack) source() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ssrc
}
