package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
)

// Options says what to measure. The zero value measures kvsagent alone with 10 viewers, once, for 10 s.
type Options struct {
	Viewers []int         // how many, one measurement after another; default 10
	Runs    int           // of each number; default 1
	Against bool          // naive too, in turn
	Window  time.Duration // of each measurement; default 10 s
	Settle  time.Duration // between the last join and the window; default 3 s
	// Find how many viewers one core carries; then, and with Idle, there is no default for Viewers.
	Limit bool
	Idle  bool // what an agent takes that has nothing to do
	Joins int  // viewers that join one after another, alone, and leave at their first frame; 0 is none

	RTT  time.Duration // between viewers and server; signaling takes it too
	Loss float64       // share of packets that viewers throw away and ask for again
	RTX  bool          // viewers take what is sent again in a stream of its own
	TWCC bool          // transport-wide feedback
	// The camera has a smaller stream, and the paths of the viewers that decrypt are narrow for a quarter of the
	// window; includes RTX and TWCC.
	Sub    bool
	PLI    time.Duration // each viewer asks for a key frame so often; 0 is never
	TURN   bool          // the agent uses the TURN servers that the service hands out, and gathers relay candidates
	Status bool          // the agent's status page is on
	Binary string        // a kvsagent to measure; default is built from the tree

	Progress func(string) // is told what goes on; may be nil
}

// The most that a benchmark does.
const (
	mostViewers = maxViewers
	mostRuns    = 50
	mostWindow  = 10 * time.Minute
	mostJoins   = 1000
)

func (o *Options) check() error {
	if len(o.Viewers) == 0 && !o.Limit && !o.Idle {
		o.Viewers = []int{10}
	}
	setDefault(&o.Runs, 1)
	setDefault(&o.Window, 10*time.Second)
	if o.Sub {
		o.Window, o.RTX, o.TWCC = max(o.Window, subWindow), true, true // the way up is probed with RTX
	}
	setDefault(&o.Settle, 3*time.Second)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	for _, n := range o.Viewers {
		if n < 1 || n > mostViewers {
			return fmt.Errorf("%d viewers; hint: 1 to %d", n, mostViewers)
		}
	}
	switch {
	case o.Runs < 1 || o.Runs > mostRuns:
		return fmt.Errorf("%d runs; hint: 1 to %d", o.Runs, mostRuns)
	case o.Window < time.Second || o.Window > mostWindow:
		return fmt.Errorf("a window of %v; hint: 1s to %v", o.Window, mostWindow)
	case o.Settle < 0 || o.Settle > mostWindow:
		return fmt.Errorf("%v to settle; hint: 0s to %v", o.Settle, mostWindow)
	case o.Joins < 0 || o.Joins > mostJoins:
		return fmt.Errorf("%d joins; hint: 0 to %d", o.Joins, mostJoins)
	case o.RTT < 0 || o.RTT > time.Second:
		return fmt.Errorf("a round trip of %v; hint: 0s to 1s", o.RTT)
	case o.Loss < 0 || o.Loss > 0.5:
		return fmt.Errorf("a loss of %g; hint: 0 to 0.5", o.Loss)
	case o.PLI != 0 && o.PLI < 100*time.Millisecond:
		return fmt.Errorf("a PLI each %v; hint: at least 100ms", o.PLI)
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// harness is what all measurements of one benchmark share.
type harness struct {
	o                      Options
	workshop               workshop
	agent, naive           string // paths
	clip, sub              string
	book                   *load.Book
	clientCore, serverCore int // -1 is any
	agents                 int // that were started
}

// Measure builds what it measures and measures it. It keeps the whole process on one core from then on. What was
// measured before an error is in the report all the same.
func Measure(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	h := &harness{o: o}
	if err := h.prepare(ctx); err != nil {
		return nil, err
	}
	r := &Report{
		Began: time.Now(), Commit: h.workshop.commit(ctx), Go: runtime.Version(), CPU: cpuModel(),
		Cores:      runtime.NumCPU(),
		ClientCore: h.clientCore, ServerCore: h.serverCore,
		Conditions: Conditions{Window: o.Window.Seconds(), RTT: ms(o.RTT), Loss: o.Loss, RTX: o.RTX, TWCC: o.TWCC,
			Sub: o.Sub, PLI: o.PLI.Seconds(), TURN: o.TURN, Status: o.Status},
	}
	if o.Binary != "" {
		r.Commit = "of the binary given"
	}
	return r, h.measureAll(ctx, r)
}

func (h *harness) prepare(ctx context.Context) (err error) {
	if h.workshop, err = newWorkshop(ctx); err != nil {
		return err
	}
	h.o.Progress("building")
	if h.agent = h.o.Binary; h.agent == "" {
		if h.agent, err = h.workshop.build(ctx, "cmd/kvsagent"); err != nil {
			return err
		}
	}
	if h.naive, err = h.workshop.build(ctx, "bench/naive"); err != nil {
		return err
	}
	if h.clip, err = h.workshop.clip(ctx, mainLook); err != nil {
		return err
	}
	if h.sub, err = h.workshop.clip(ctx, subLook); err != nil {
		return err
	}
	if h.book, err = h.workshop.book(ctx, h.clip, h.sub); err != nil {
		return err
	}
	if h.clientCore, h.serverCore = cores(); h.clientCore >= 0 {
		return pinSelf(h.clientCore)
	}
	return nil
}

// measureAll lets the servers take turns.
func (h *harness) measureAll(ctx context.Context, r *Report) error {
	kinds := []string{Agent}
	if h.o.Against {
		kinds = append(kinds, Naive)
	}
	if h.o.Idle {
		for run := range h.o.Runs {
			h.o.Progress(fmt.Sprintf("%s: idle, run %d", Agent, run+1))
			i, err := h.measureIdle(ctx)
			if err != nil {
				return fmt.Errorf("%s, idle: %w", Agent, err)
			}
			r.Idle = append(r.Idle, i)
		}
	}
	if h.o.Joins > 0 {
		for run := range h.o.Runs {
			for _, kind := range kinds {
				h.o.Progress(fmt.Sprintf("%s: %d joins, run %d", kind, h.o.Joins, run+1))
				j, err := h.measureJoins(ctx, kind)
				if err != nil {
					return fmt.Errorf("%s, joins: %w", kind, err)
				}
				r.Joins = append(r.Joins, j)
			}
		}
	}
	if h.o.Limit {
		for run := range h.o.Runs {
			for _, kind := range kinds {
				l, err := h.measureLimit(ctx, kind)
				if err != nil {
					return fmt.Errorf("%s, limit: %w", kind, err)
				}
				l.Run = run + 1
				r.Limits = append(r.Limits, l)
			}
		}
	}
	for _, n := range h.o.Viewers {
		for run := range h.o.Runs {
			for _, kind := range kinds {
				h.o.Progress(fmt.Sprintf("%s: %d viewers, run %d", kind, n, run+1))
				m, err := h.measure(ctx, kind, n)
				if err != nil {
					return fmt.Errorf("%s, %d viewers: %w", kind, n, err)
				}
				m.Run = run + 1
				r.Runs = append(r.Runs, m)
			}
		}
	}
	return nil
}

// Err is what no speed excuses: packets that did not decrypt, timestamps or sequence numbers that do not go on.
func (r *Report) Err() error {
	var errs []error
	for _, m := range r.Runs {
		for _, e := range m.Errors {
			errs = append(errs, fmt.Errorf("%s, %d viewers, run %d: %s", m.Server, m.Viewers, m.Run, e))
		}
	}
	return errors.Join(errs...)
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
