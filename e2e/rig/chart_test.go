package rig

import (
	"bytes"
	"encoding/xml"
	"testing"
)

func TestCharts(t *testing.T) {
	c := Chart{Title: "rate <b>", Top: 8, Shaded: [][2]float64{{1, 2}}, Lines: []Graph{
		{Name: "a", Colour: "red", Points: [][2]float64{{0, 0}, {10, 8}}},
		{Name: "b", Colour: "blue", Points: [][2]float64{{0, 4}, {5, 100}}, Steps: true},
	}}
	svg := DrawCharts(10, []string{"one", "two"}, [][]Chart{{c}, {c, c}}, "seen & noted")
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Errorf("not XML: %v\n%s", err, svg)
			}
			break
		}
	}
	for _, want := range []string{`"M56.0 148.0L446.0 34.0"`, `"M56.0 91.0H251.0V34.0"`, "seen &amp; noted",
		`<rect x="95.0"`} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
	for v, want := range map[float64]float64{0: 1, 3: 4, 8: 10, 1500: 2000, 100: 100} {
		if got := RoundTop(v); got != want {
			t.Errorf("roundTop(%v) = %v, want %v", v, got, want)
		}
	}
}
