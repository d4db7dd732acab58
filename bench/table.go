package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// column is one figure of the table.
type column struct {
	name   string
	digits int
	ratio  bool // is worth comparing
	figure func(Run) float64
}

var columns = []column{
	{"CPU ms/viewer-s", 2, true, func(m Run) float64 { return m.CPU }},
	{"resident KB/viewer", 0, true, func(m Run) float64 { return m.Resident }},
	{"packet p50 ms", 2, true, func(m Run) float64 { return m.Packet.P50 }},
	{"packet p99 ms", 2, true, func(m Run) float64 { return m.Packet.P99 }},
	{"frame p50 ms", 2, true, func(m Run) float64 { return m.Frame.P50 }},
	{"frame p99 ms", 2, true, func(m Run) float64 { return m.Frame.P99 }},
	{"worst Mbit/s", 2, true, func(m Run) float64 { return m.Worst }},
	{"loss %", 3, false, func(m Run) float64 { return m.Lost * 100 }},
	{"skipped frames", 0, false, func(m Run) float64 { return float64(m.Skipped) }},
	{"asked for again", 0, false, func(m Run) float64 { return float64(m.Asked) }},
	{"came late or again", 0, false, func(m Run) float64 { return float64(m.Late) }},
	{"pictures checked", 0, false, func(m Run) float64 { return float64(m.Checked) }},
	{"moves between levels", 0, false, func(m Run) float64 { return float64(m.Moved) }},
	{"packets/viewer-s", 0, true, func(m Run) float64 { return m.Packets }},
	{"first frame p50 ms", 1, true, func(m Run) float64 { return m.FirstFrame.P50 }},
	{"first frame p99 ms", 1, true, func(m Run) float64 { return m.FirstFrame.P99 }},
	{"failed joins", 0, false, func(m Run) float64 { return float64(m.Failed) }},
	{"server core %", 0, false, func(m Run) float64 { return m.Core * 100 }},
	{"server waited for its core %", 0, false, func(m Run) float64 { return m.Waited * 100 }},
	{"client core %", 0, false, func(m Run) float64 { return m.ClientCore * 100 }},
	{"client drops", 0, false, func(m Run) float64 { return float64(m.ClientLost) }},
	{"load average", 1, false, func(m Run) float64 { return m.Load }},
}

// WriteTable writes a report for people: Markdown, a table for each number of viewers, the median of the runs with the
// least and the most.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, commit %s, %s, %s, %d cores, server on core %d, clients on core %d\n",
		r.Began.UTC().Format("2006-01-02 15:04"),
		r.Commit, r.Go, r.CPU, r.Cores, r.ServerCore, r.ClientCore)
	c := r.Conditions
	fmt.Fprintf(&b,
		"window %g s, RTT %g ms, loss %g %%, RTX %v, TWCC %v, sub stream %v, PLI each %g s, TURN %v, status page %v\n",
		c.Window, c.RTT, c.Loss*100, c.RTX, c.TWCC, c.Sub, c.PLI, c.TURN, c.Status)
	r.writeGoals(&b)
	r.writeJoins(&b)
	r.writeLimits(&b)
	for _, n := range r.numbers() {
		r.writeRuns(&b, n)
	}
	if err := r.Err(); err != nil {
		fmt.Fprintf(&b, "\nNOT CORRECT:\n%v\n", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeRuns(b *strings.Builder, n int) {
	servers := r.servers()
	compared := len(servers) > 1
	fmt.Fprintf(b, "\n%d viewers, %d runs\n\n| figure |", n, len(r.of(servers[0], n, func(Run) float64 { return 0 })))
	for _, s := range servers {
		fmt.Fprintf(b, " %s |", s)
	}
	if compared {
		b.WriteString(" ratio |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(servers)))
	if compared {
		b.WriteString("---|")
	}
	b.WriteString("\n")
	for _, c := range columns {
		fmt.Fprintf(b, "| %s |", c.name)
		for _, s := range servers {
			fmt.Fprintf(b, " %s |", spread(r.of(s, n, c.figure)).text(c.digits))
		}
		if compared && c.ratio {
			fmt.Fprintf(b, " %s |", r.ratio(n, c.figure).text(2))
		} else if compared {
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
}

func (r *Report) writeJoins(b *strings.Builder) {
	if len(r.Joins) == 0 {
		return
	}
	rtt := r.Conditions.RTT
	b.WriteString("\nJoins, one after another, alone\n\n" +
		"| server | runs | joins | CPU ms/join | packets/join | first frame p50 ms | p99 ms |")
	line := "\n|---|---|---|---|---|---|---|"
	if rtt > 0 {
		b.WriteString(" p50 RTT | p99 RTT |")
		line += "---|---|"
	}
	b.WriteString(line + "\n")
	for _, server := range []string{Agent, Naive} {
		of := func(figure func(Joins) float64) Spread { return spread(r.ofJoins(server, figure)) }
		joins := of(func(j Joins) float64 { return float64(j.Joins) })
		p50 := of(func(j Joins) float64 { return j.FirstFrame.P50 })
		p99 := of(func(j Joins) float64 { return j.FirstFrame.P99 })
		cpu, packets := of(func(j Joins) float64 { return j.CPU }), of(func(j Joins) float64 { return j.Packets })
		if runs := len(r.ofJoins(server, func(Joins) float64 { return 0 })); runs > 0 {
			fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |", server, runs, joins.text(0),
				cpu.text(2), packets.text(0), p50.text(1), p99.text(1))
			if rtt > 0 {
				fmt.Fprintf(b, " %s | %s |", p50.over(rtt).text(2), p99.over(rtt).text(2))
			}
			b.WriteString("\n")
		}
	}
}

// text is "median (min-max)", or the one value when there is only one.
func (s Spread) text(digits int) string {
	if math.IsNaN(s.Median) || math.IsInf(s.Median, 0) {
		return "-"
	}
	if s.Min == s.Max {
		return fmt.Sprintf("%.*f", digits, s.Median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}
