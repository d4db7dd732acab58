package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// panel is one chart of the plot: a figure over the number of viewers.
type panel struct {
	title  string
	figure func(Run) float64
}

var panels = []panel{
	{"CPU, ms for each viewer and second", func(m Run) float64 { return m.CPU }},
	{"frame latency p99, ms", func(m Run) float64 { return m.Frame.P99 }},
}

// Measures of the plot, in pixels.
const (
	panelWidth  = 420
	panelHeight = 300
	marginLeft  = 60
	marginTop   = 40
	marginRight = 20
	marginLow   = 50
)

var colors = map[string]string{Agent: "#0b6e4f", Naive: "#b3541e"}

// Plot draws CPU and latency over the number of viewers, both axes logarithmic, as SVG. A dot is a median, a bar
// reaches from the least to the most.
func (r *Report) Plot() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		len(panels)*panelWidth, panelHeight+20)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*panelWidth)
		r.drawPanel(&b, p)
		b.WriteString("</g>\n")
	}
	x := marginLeft
	for _, s := range r.servers() {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, panelHeight+6,
			colors[s], x+8, panelHeight+10, s)
		x += 100
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#555">%s, commit %s, %s</text>`+"\n", x, panelHeight+10,
		r.Began.UTC().Format("2006-01-02"),
		html.EscapeString(r.Commit), html.EscapeString(r.CPU))
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (r *Report) drawPanel(b *bytes.Buffer, p panel) {
	ns := r.numbers()
	low, high := math.Inf(1), 0.0
	for _, m := range r.Runs {
		if v := p.figure(m); v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	if len(ns) == 0 || high == 0 {
		return
	}
	x := axis{float64(ns[0]), float64(ns[len(ns)-1]), marginLeft + 15, panelWidth - marginRight - 15}
	y := axis{decade(low, math.Floor), decade(high, math.Ceil), panelHeight - marginLow, marginTop}
	fmt.Fprintf(b, `<text x="%d" y="20" font-weight="bold">%s</text>`+"\n", marginLeft, p.title)
	for _, v := range y.ticks() {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, y.at(v), panelWidth-marginRight, marginLeft-6, y.at(v)+4, strconv.FormatFloat(v, 'g', -1, 64))
	}
	for _, n := range ns {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x.at(float64(n)),
			panelHeight-marginLow+18, n)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#555">viewers</text>`+"\n", panelWidth/2,
		panelHeight-marginLow+36)
	for _, s := range r.servers() {
		r.drawLine(b, p, s, ns, x, y)
	}
}

func (r *Report) drawLine(b *bytes.Buffer, p panel, server string, ns []int, x, y axis) {
	path, pen := "", "M"
	for _, n := range ns {
		s := spread(r.of(server, n, p.figure))
		if math.IsNaN(s.Median) || s.Min <= 0 {
			continue
		}
		at := x.at(float64(n))
		path += fmt.Sprintf("%s%.1f %.1f", pen, at, y.at(s.Median))
		pen = "L"
		fmt.Fprintf(b,
			`<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-opacity="0.5" stroke-width="3"/><circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n",
			at, y.at(s.Min), y.at(s.Max), colors[server], at, y.at(s.Median), colors[server])
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", path, colors[server])
}

// axis maps values to pixels, logarithmically.
type axis struct {
	low, high float64
	from, to  float64
}

func (a axis) at(v float64) float64 {
	if a.high == a.low {
		return (a.from + a.to) / 2
	}
	return a.from + (a.to-a.from)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

// ticks are 1, 2 and 5 of each decade.
func (a axis) ticks() (out []float64) {
	for d := a.low; d <= a.high*1.001; d *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if d*m <= a.high*1.001 {
				out = append(out, d*m)
			}
		}
	}
	return out
}

// decade is the power of ten beside a value.
func decade(v float64, round func(float64) float64) float64 {
	return math.Pow(10, round(math.Log10(v)))
}
