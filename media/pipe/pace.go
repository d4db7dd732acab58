package pipe

import (
	"context"
	"time"

	"github.com/kvsagent/kvsagent/media/internal/es"
)

// How far a command may be ahead of the clock. It may begin with a burst; after that its full pipe holds it back.
const (
	lead    = 500 * time.Millisecond
	resync  = 10 * time.Second // a jump of the stream's clock, not worth waiting for
	fastest = 120              // frame rate of a stream that does not state its own
)

// pacer holds back commands that write faster than real time, such as one that reads a file.
type pacer struct {
	ctx    context.Context
	timer  *time.Timer
	begin  time.Time // the time of zero
	zero   time.Duration
	frames int
}

func newPacer(ctx context.Context) *pacer {
	t := time.NewTimer(0)
	<-t.C
	return &pacer{ctx: ctx, timer: t}
}

func (p *pacer) stop() { p.timer.Stop() }

// wait returns when a unit with time pts on the stream's clock is due.
func (p *pacer) wait(pts time.Duration, video bool, rate float64) error {
	if pts == es.Untimed {
		if !video {
			return p.ctx.Err()
		}
		if rate == 0 {
			rate = fastest
		}
		pts = time.Duration(float64(p.frames) / rate * float64(time.Second))
		p.frames++
	}
	now := time.Now()
	ahead := pts - p.zero - now.Sub(p.begin)
	if p.begin.IsZero() || ahead > resync || ahead < -resync {
		p.begin, p.zero, ahead = now, pts, 0
	}
	if ahead <= lead {
		return p.ctx.Err()
	}
	p.timer.Reset(ahead - lead)
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-p.timer.C:
		return nil
	}
}
