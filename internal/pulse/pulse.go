// Package pulse tells a loop that goes on from one that is stuck. A loop that waits because there is nothing to do goes
// on. Times are the watcher's, so a test needs no waiting.
package pulse

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Pulse is for a loop that selects on channels: it takes what comes on C, and does nothing for it.
type Pulse struct {
	C chan struct{} // 1 slot

	mu    sync.Mutex // guards the field below
	since waiting
}

// New returns a pulse of a loop that goes on.
func New() *Pulse { return &Pulse{C: make(chan struct{}, 1)} }

// Stuck says for how long the loop has not taken what was put into C, and puts something there. It must be called again
// and again.
func (p *Pulse) Stuck(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.C <- struct{}{}:
		return p.since.over(now)
	default:
		return p.since.still(now)
	}
}

// Wait waits for d, or until ctx is done, and goes on meanwhile.
func (p *Pulse) Wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case <-p.C:
		}
	}
}

// Work is for a loop that waits in a call of somebody else's, such as a read. It says when there is something to do and
// when that is done.
type Work struct {
	busy  atomic.Bool
	turns atomic.Uint64

	mu    sync.Mutex // guards the fields below
	seen  uint64
	since waiting
}

// Begin says that there is something to do.
func (w *Work) Begin() {
	w.turns.Add(1)
	w.busy.Store(true)
}

// End says that it is done.
func (w *Work) End() { w.busy.Store(false) }

// Stuck says for how long the loop has been doing the same thing. It must be called again and again.
func (w *Work) Stuck(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	turns := w.turns.Load()
	if !w.busy.Load() || turns != w.seen {
		w.seen = turns
		return w.since.over(now)
	}
	return w.since.still(now)
}

// asleep is how far apart two looks are when the process, or the host, was stopped in between. That time is nobody's
// fault.
const asleep = 30 * time.Second

// waiting is how long something has been waited for.
type waiting struct{ from, looked time.Time }

// over begins anew.
func (w *waiting) over(now time.Time) time.Duration {
	w.from, w.looked = now, now
	return 0
}

// still is how long it has lasted.
func (w *waiting) still(now time.Time) time.Duration {
	if gap := now.Sub(w.looked); w.looked.IsZero() || gap > asleep {
		return w.over(now)
	}
	w.looked = now
	return now.Sub(w.from)
}
