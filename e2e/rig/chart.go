package rig

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// Chart is one diagram over time, with others above and below it on the same axis.
type Chart struct {
	Title  string
	Top    float64 // of the vertical axis, which begins at 0; what is above it is cut off
	Lines  []Graph
	Shaded [][2]float64 // stretches of time, in seconds
}

// Graph is one line of a chart.
type Graph struct {
	Name, Colour string
	Points       [][2]float64 // seconds, value
	Steps        bool         // a value holds until the next
}

// Measures of a diagram, in pixels.
const (
	chartWidth, chartHeight = 460, 170
	chartLeft, chartRight   = 56, 14
	chartAbove, chartBelow  = 34, 22
)

// DrawCharts draws columns of charts over the same seconds as SVG, each column under its name; note is below all.
func DrawCharts(seconds float64, names []string, columns [][]Chart, note string) []byte {
	var b bytes.Buffer
	rows := 0
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	w, h := chartWidth*len(columns), rows*chartHeight+60
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", w, h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, column := range columns {
		fmt.Fprintf(&b, `<text x="%d" y="18" font-weight="bold" font-size="13">%s</text>`+"\n", i*chartWidth+chartLeft,
			html.EscapeString(names[i]))
		for row, c := range column {
			fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i*chartWidth, 24+row*chartHeight)
			c.draw(&b, seconds)
			b.WriteString("</g>\n")
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#555">%s</text>`+"\n</svg>\n", chartLeft, h-10, html.EscapeString(note))
	return b.Bytes()
}

func (c Chart) draw(b *bytes.Buffer, seconds float64) {
	x := func(s float64) float64 { return chartLeft + (chartWidth-chartLeft-chartRight)*s/seconds }
	y := func(v float64) float64 {
		return chartHeight - chartBelow - (chartHeight-chartAbove-chartBelow)*min(max(v, 0), c.Top)/c.Top
	}
	for _, s := range c.Shaded {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#e8eef7"/>`+"\n", x(s[0]), chartAbove,
			x(s[1])-x(s[0]), chartHeight-chartAbove-chartBelow)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", chartLeft, chartAbove-18, html.EscapeString(c.Title))
	for i := range 5 {
		v := c.Top * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			chartLeft, y(v), chartWidth-chartRight, chartLeft-5, y(v)+4, strconv.FormatFloat(v, 'g', 4, 64))
	}
	for s := 0.0; s <= seconds; s += 10 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(s),
			chartHeight-chartBelow+14, s)
	}
	at := float64(chartLeft)
	for _, l := range c.Lines {
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.3"/>`+"\n", l.path(x, y), l.Colour)
		fmt.Fprintf(b, `<path d="M%.0f %dh14" stroke="%s" stroke-width="2"/><text x="%.0f" y="%d">%s</text>`+"\n",
			at, chartAbove-8, l.Colour, at+18, chartAbove-4, html.EscapeString(l.Name))
		at += 34 + 6*float64(len(l.Name))
	}
}

func (l Graph) path(x, y func(float64) float64) string {
	var b bytes.Buffer
	for i, p := range l.Points {
		switch {
		case i == 0:
			fmt.Fprintf(&b, "M%.1f %.1f", x(p[0]), y(p[1]))
		case l.Steps:
			fmt.Fprintf(&b, "H%.1fV%.1f", x(p[0]), y(p[1]))
		default:
			fmt.Fprintf(&b, "L%.1f %.1f", x(p[0]), y(p[1]))
		}
	}
	return b.String()
}

// RoundTop is a round number that is not below v, for the top of an axis.
func RoundTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 10} {
		if v <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}
