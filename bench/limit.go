package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
)

// Limit is how many viewers one core of a server carries: all of them get every frame of the main stream, in time,
// while the server has time to spare.
type Limit struct {
	Server  string `json:"server"`
	Run     int    `json:"run"`     // from 1
	Carried int    `json:"carried"` // the most
	Failed  int    `json:"failed"`  // the fewest that were too many; 0: not found
	Why     string `json:"why"`     // what happened to those, or why there were not more
	Bound   bool   `json:"bound"`   // the load or the machine gave out, not the server: it may carry more
	Steps   []Run  `json:"steps"`   // all that was measured
}

// What it is to carry.
const (
	limitLate     = 500.0 // ms: frame p99
	limitRate     = 3.4   // Mbit/s that the worst viewer gets: the clip has 4, less in some seconds
	limitCore     = 0.97  // of the server's core: above, work piles up that a short window does not show
	limitIdle     = 0.5   // below, the server is not what failed
	limitOwnCore  = 0.93  // of the load's core: above, what goes wrong may be its fault
	limitWindow   = 2 * gop
	limitSettle   = 2 * time.Second
	limitRecover  = 3 * time.Second // after too many
	limitFirst    = 50              // viewers
	limitPrecise  = 40              // the result is exact to a part in so many
	limitPoll     = 25 * time.Millisecond
	limitAttempts = 2 // before a number is believed to be too many
)

// measureLimit adds viewers until they are too many, and then looks between that number and the last good one.
func (h *harness) measureLimit(ctx context.Context, kind string) (Limit, error) {
	l := Limit{Server: kind}
	s, err := h.startServer(ctx, kind, mostViewers)
	if err != nil {
		return l, err
	}
	defer s.stop()
	c := &crowd{h: h, s: s}
	defer func() { leave(c.viewers) }()
	for n := limitFirst; ; n = l.next(n) {
		good, err := l.try(ctx, c, n)
		if err != nil {
			return l, fmt.Errorf("%w\n%s", err, s.complaints())
		}
		if good {
			l.Carried = n
		} else {
			l.Failed = n
		}
		if l.done() {
			break
		}
	}
	if l.Failed == 0 {
		l.Why, l.Bound = "the harness has no more viewers", true
	}
	return l, nil
}

// next is how many viewers to try after n: an eighth more, or the middle between too few and too many.
func (l *Limit) next(n int) int {
	if l.Failed > 0 {
		return (l.Carried + l.Failed) / 2
	}
	return min(mostViewers, n+max(10, n/8))
}

func (l *Limit) done() bool {
	if l.Failed > 0 {
		return l.Failed-l.Carried <= max(1, l.Failed/limitPrecise)
	}
	return l.Carried >= mostViewers
}

// try says whether n viewers are carried. Once is no proof that they are not: the machine may have done something else.
func (l *Limit) try(ctx context.Context, c *crowd, n int) (bool, error) {
	for range limitAttempts {
		m, err := c.measure(ctx, n)
		if err != nil {
			return false, err
		}
		l.Steps = append(l.Steps, m)
		why, ours := m.verdict()
		c.h.o.Progress(fmt.Sprintf("%s: limit, %d viewers: server core %.0f %%, client core %.0f %%, frame p99 %.0f "+
			"ms %s",
			m.Server, n, m.Core*100, m.ClientCore*100, m.Frame.P99, why))
		if why == "" {
			return true, nil
		}
		l.Why, l.Bound = why, ours
		if err := c.recover(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// verdict says what is wrong with a measurement, if anything, and whether that may be the load's fault.
func (m Run) verdict() (why string, ours bool) {
	var all []string
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(m.Failed > 0, "%d viewers did not get in", m.Failed)
	add(m.Lost > 0, "%.3f %% lost", m.Lost*100)
	add(m.Skipped > 0, "%d frames skipped", m.Skipped)
	add(m.Frame.P99 > limitLate, "frame p99 %.0f ms", m.Frame.P99)
	add(m.Worst < limitRate, "a viewer with %.1f Mbit/s", m.Worst)
	add(m.Core > limitCore, "server core at %.0f %%", m.Core*100)
	add(m.ClientLost > 0, "%d datagrams dropped by the load", m.ClientLost)
	busy := m.ClientCore > limitOwnCore
	if len(all) > 0 {
		add(busy, "client core at %.0f %%", m.ClientCore*100)
	}
	// A full core is the server's own, whatever the load does; with half of it free, the server is not what failed.
	return strings.Join(all, ", "), m.Core <= limitCore && (busy || m.ClientLost > 0 || m.Core < limitIdle)
}

// crowd is viewers that come and go by the number.
type crowd struct {
	h       *harness
	s       *server
	viewers []*load.Viewer
	came    int // in all
}

func (c *crowd) measure(ctx context.Context, n int) (Run, error) {
	m := Run{Server: c.s.kind, Viewers: n}
	if len(c.viewers) > n {
		c.shrink(n)
	}
	if err := c.grow(ctx, n, &m); err != nil {
		return m, err
	}
	if err := load.Sleep(ctx, limitSettle); err != nil {
		return m, err
	}
	windows, err := c.h.watch(ctx, c.s, c.viewers, limitWindow, &m)
	if err != nil {
		return m, err
	}
	m.take(windows)
	m.Load = loadAverage()
	return m, nil
}

// grow lets viewers in until there are n. The first stays to the end: the others are tied to its clock.
func (c *crowd) grow(ctx context.Context, n int, m *Run) error {
	if len(c.viewers) == 0 {
		first, err := c.join(ctx)
		if err != nil {
			return err
		}
		c.viewers = append(c.viewers, first)
	}
	more := n - len(c.viewers)
	viewers, errs := make([]*load.Viewer, more), make([]error, more)
	var wg sync.WaitGroup
	var err error
	for i := range more {
		if err = load.Sleep(ctx, time.Duration(float64(time.Second)/c.s.rate)); err != nil {
			break
		}
		id := c.came
		c.came++
		wg.Go(func() { viewers[i], errs[i] = c.h.joinOne(ctx, c.s, id, mostViewers, limitPoll) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			m.Failed++
			m.complain(err)
		}
	}
	c.viewers = append(c.viewers, slices.DeleteFunc(viewers, func(v *load.Viewer) bool { return v == nil })...)
	return err
}

func (c *crowd) join(ctx context.Context) (*load.Viewer, error) {
	c.came++
	return c.h.joinOne(ctx, c.s, c.came-1, mostViewers, limitPoll)
}

func (c *crowd) shrink(n int) {
	leave(c.viewers[n:])
	c.viewers = c.viewers[:n]
}

// recover gives a server that had too many viewers the time to come to itself: a quarter of them leave.
func (c *crowd) recover(ctx context.Context) error {
	c.shrink(max(1, len(c.viewers)*3/4))
	return load.Sleep(ctx, limitRecover)
}

func (r *Report) writeLimits(b *strings.Builder) {
	if len(r.Limits) == 0 {
		return
	}
	fmt.Fprintf(b,
		"\nViewers on one core: no loss, no skipped frame, frame p99 at most %.0f ms, server core at most %.0f %%\n\n"+
			"| server | run | carried | too many | why | server core %% | client core %% "+
			"|\n|---|---|---|---|---|---|---|\n", limitLate, limitCore*100)
	for _, l := range r.Limits {
		var best Run
		for _, m := range l.Steps {
			if why, _ := m.verdict(); m.Viewers == l.Carried && why == "" {
				best = m
			}
		}
		fmt.Fprintf(b, "| %s | %d | %s%d | %d | %s | %.0f | %.0f |\n", l.Server, l.Run, l.least(), l.Carried, l.Failed,
			l.Why, best.Core*100, best.ClientCore*100)
	}
	if text := r.limitRatio(); text != "" {
		fmt.Fprintf(b, "\nratio: %s\n", text)
	}
}

func (l Limit) least() string {
	if l.Bound {
		return "at least "
	}
	return ""
}

// limits collects what a server carried, run by run, and whether one of those is only a lower bound.
func (r *Report) limits(server string) (carried []float64, bound bool) {
	for _, l := range r.Limits {
		if l.Server == server {
			carried, bound = append(carried, float64(l.Carried)), bound || l.Bound
		}
	}
	return carried, bound
}

// limitRatio compares the agent with naive; empty when one of them was not measured.
func (r *Report) limitRatio() string {
	ours, oursBound := r.limits(Agent)
	theirs, theirsBound := r.limits(Naive)
	if len(ours) == 0 || len(theirs) == 0 {
		return ""
	}
	ratio := fmt.Sprintf("%.2f", spread(ours).Median/spread(theirs).Median)
	switch {
	case theirsBound:
		return "unknown (" + ratio + " with a lower bound of naive's)"
	case oursBound:
		return "at least " + ratio
	}
	return ratio
}
