package bench

import (
	"fmt"
	"math"
	"strings"
)

// goal is one that the project has set itself.
type goal struct {
	figure   string
	unit     string
	digits   int
	least    bool // is to be reached, not kept under
	limit    float64
	measured func(*Report) Spread
}

// goalViewers is with how many viewers the goals are meant.
const goalViewers = 100

// goals has the figures that this report may have. Those it does not have are NaN.
var goals = []goal{
	{"CPU per viewer-second, with Pion's public API alone", "x naive", 2, false, 0.52,
		func(r *Report) Spread { return r.ratio(goalViewers, func(m Run) float64 { return m.CPU }) }},
	{"resident per viewer", "x naive", 2, false, 0.20,
		func(r *Report) Spread { return r.ratio(goalViewers, func(m Run) float64 { return m.Resident }) }},
	{"resident per viewer", "KB", 0, false, 600, func(r *Report) Spread {
		return spread(r.of(Agent, goalViewers, func(m Run) float64 { return m.Resident }))
	}},
	{"frame latency p99", "x naive", 2, false, 0.30,
		func(r *Report) Spread { return r.ratio(goalViewers, func(m Run) float64 { return m.Frame.P99 }) }},
	{"viewers on one core", "x naive", 2, true, 2.2, func(r *Report) Spread {
		ours, _ := r.limits(Agent)
		theirs, _ := r.limits(Naive)
		return ratios(ours, theirs)
	}},
	{"first frame p50, who comes alone", "ms", 1, false, 15, func(r *Report) Spread {
		if r.Conditions.RTT > 0 {
			return spread(nil)
		}
		return spread(r.ofJoins(Agent, func(j Joins) float64 { return j.FirstFrame.P50 }))
	}},
	{"first frame p50, who comes alone", "RTT", 2, false, 5.2, func(r *Report) Spread {
		if r.Conditions.RTT == 0 {
			return spread(nil)
		}
		return spread(r.ofJoins(Agent, func(j Joins) float64 { return j.FirstFrame.P50 })).over(r.Conditions.RTT)
	}},
	{"join, CPU", "x naive", 2, false, 1, func(r *Report) Spread {
		cpu := func(j Joins) float64 { return j.CPU }
		return ratios(r.ofJoins(Agent, cpu), r.ofJoins(Naive, cpu))
	}},
	{"idle, resident", "MB", 1, false, 20,
		func(r *Report) Spread { return r.ofIdle(func(i Idle) float64 { return i.Resident }) }},
	{"idle, CPU", "% of a core", 2, false, 0.5,
		func(r *Report) Spread { return r.ofIdle(func(i Idle) float64 { return i.Core * 100 }) }},
	{"idle, connections to the camera", "", 0, false, 0,
		func(r *Report) Spread { return r.ofIdle(func(i Idle) float64 { return float64(i.Camera) }) }},
	{"binary, stripped", "MB", 1, false, 25,
		func(r *Report) Spread { return r.ofIdle(func(i Idle) float64 { return i.Binary }) }},
}

// met holds the median against the limit.
func (g goal) met(s Spread) string {
	if g.least && s.Median >= g.limit || !g.least && s.Median <= g.limit {
		return "yes"
	}
	return "no"
}

func (r *Report) writeGoals(b *strings.Builder) {
	var rows strings.Builder
	for _, g := range goals {
		s := g.measured(r)
		if math.IsNaN(s.Median) {
			continue
		}
		bound := "at most"
		if g.least {
			bound = "at least"
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", g.figure,
			strings.TrimSpace(fmt.Sprintf("%s %g %s", bound, g.limit, g.unit)), s.text(g.digits), g.met(s))
	}
	if rows.Len() > 0 {
		fmt.Fprintf(b, "\nGoals\n\n| figure | goal | measured | met |\n|---|---|---|---|\n%s", rows.String())
	}
	if own := r.ofIdle(func(i Idle) float64 { return i.Own }); !math.IsNaN(own.Median) {
		fmt.Fprintf(b,
			"\nOf what is resident when idle %s MB is the agent's own memory; the rest is pages of the program, "+
				"which the kernel may drop.\n", own.text(1))
	}
}
