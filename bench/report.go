package bench

import (
	"math"
	"slices"
	"time"
)

// Report is a whole benchmark.
type Report struct {
	Began      time.Time  `json:"began"`
	Commit     string     `json:"commit"`
	Go         string     `json:"go"`
	CPU        string     `json:"cpu"`
	Cores      int        `json:"cores"`
	ClientCore int        `json:"client_core"` // -1 is any
	ServerCore int        `json:"server_core"`
	Conditions Conditions `json:"conditions"`
	Runs       []Run      `json:"runs"`
	Joins      []Joins    `json:"joins,omitempty"`
	Limits     []Limit    `json:"limits,omitempty"`
	Idle       []Idle     `json:"idle,omitempty"`
}

// Conditions is how the viewers behaved.
type Conditions struct {
	Window float64 `json:"window_s"`
	RTT    float64 `json:"rtt_ms"`
	Loss   float64 `json:"loss"`
	RTX    bool    `json:"rtx"`
	TWCC   bool    `json:"twcc"`
	Sub    bool    `json:"sub"`
	PLI    float64 `json:"pli_s"`
	TURN   bool    `json:"turn"`
	Status bool    `json:"status"`
}

// Run is one measurement of one server.
type Run struct {
	Server  string `json:"server"`
	Viewers int    `json:"viewers"`
	Run     int    `json:"run"` // from 1

	CPU      float64 `json:"cpu_ms"`      // a viewer and second, user and system
	User     float64 `json:"cpu_user_ms"` // of that
	Core     float64 `json:"core"`        // share of the core that the server used
	Waited   float64 `json:"waited"`      // seconds that its threads waited for the core, a second: what else ran there
	Resident float64 `json:"resident_kb"` // that each viewer adds
	Total    float64 `json:"resident_total_mb"`

	Packet     Quantiles `json:"packet_ms"` // latency
	Frame      Quantiles `json:"frame_ms"`
	FirstFrame Quantiles `json:"first_frame_ms"` // of the viewers as they joined

	Packets float64 `json:"packets"`      // a viewer and second
	Median  float64 `json:"median_mbit"`  // of viewers, UDP payload
	Worst   float64 `json:"worst_mbit"`   //
	Lost    float64 `json:"lost"`         // share of packets that never came
	Skipped uint64  `json:"skipped"`      // frames that the server left out
	Late    uint64  `json:"late_packets"` // out of order or sent again
	Asked   uint64  `json:"asked"`        // packets (NACK)
	Checked uint64  `json:"checked"`      // pictures that were held against the clip
	Moved   uint64  `json:"moved"`        // from one level to the other, of the viewers that decrypt
	RTX     uint64  `json:"rtx"`          // packets
	TWCC    uint64  `json:"twcc"`         // packets of feedback sent

	Failed     int      `json:"failed_joins"`
	ClientCore float64  `json:"client_core"`    // share of its core that the load used
	ClientLost uint64   `json:"client_dropped"` // datagrams that the load's sockets dropped: then the run says little
	Load       float64  `json:"load_average"`
	Errors     []string `json:"errors,omitempty"`
}

// Joins is a measurement of viewers that come one after another.
type Joins struct {
	Server     string    `json:"server"`
	Joins      int       `json:"joins"`
	FirstFrame Quantiles `json:"first_frame_ms"`
	CPU        float64   `json:"cpu_ms"`  // a join that leaves at its first packet, and its end
	Packets    float64   `json:"packets"` // that it got until then
	Load       float64   `json:"load_average"`
}

// Quantiles of something.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)] }
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: sorted[len(sorted)-1]}
}

// Spread is a median, with the least and the most.
type Spread struct{ Median, Min, Max float64 }

func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Spread{median, sorted[0], sorted[len(sorted)-1]}
}

// over is the same in units of something.
func (s Spread) over(unit float64) Spread { return Spread{s.Median / unit, s.Min / unit, s.Max / unit} }

// of collects a figure of all runs of one server with n viewers.
func (r *Report) of(server string, n int, figure func(Run) float64) []float64 {
	var values []float64
	for _, m := range r.Runs {
		if m.Server == server && m.Viewers == n {
			values = append(values, figure(m))
		}
	}
	return values
}

// ratio compares a figure of the agent with naive's, turn by turn.
func (r *Report) ratio(n int, figure func(Run) float64) Spread {
	return ratios(r.of(Agent, n, figure), r.of(Naive, n, figure))
}

func ratios(a, b []float64) Spread {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return spread(all)
}

// ofJoins collects a figure of all measurements of joins at one server.
func (r *Report) ofJoins(server string, figure func(Joins) float64) []float64 {
	var values []float64
	for _, j := range r.Joins {
		if j.Server == server {
			values = append(values, figure(j))
		}
	}
	return values
}

func (r *Report) ofIdle(figure func(Idle) float64) Spread {
	var values []float64
	for _, i := range r.Idle {
		values = append(values, figure(i))
	}
	return spread(values)
}

// numbers lists how many viewers there were, from few to many.
func (r *Report) numbers() []int {
	var ns []int
	for _, m := range r.Runs {
		ns = append(ns, m.Viewers)
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

// servers lists what was measured, the agent first.
func (r *Report) servers() []string {
	names := []string{}
	for _, name := range []string{Agent, Naive} {
		if slices.ContainsFunc(r.Runs, func(m Run) bool { return m.Server == name }) {
			names = append(names, name)
		}
	}
	return names
}
