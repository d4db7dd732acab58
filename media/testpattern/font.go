package testpattern

import (
	"image"
	"math"
	"strings"
)

// Glyphs are five dots wide and seven high, on a grid of six.
const (
	glyphWidth  = 5
	glyphHeight = 7
	advance     = 6
)

// sheet is the font: a line that names the glyphs of a block, then their seven rows of dots.
const sheet = `
0     1     2     3     4     5     6     7     8     9
.###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...#
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....#
#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ...#.
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .##..
:     .     -     +     x     U     T     C
..... ..... ..... ..... ..... #...# ##### .###.
..#.. ..... ..... ..#.. ..... #...# ..#.. #...#
..#.. ..... ..... ..#.. #...# #...# ..#.. #....
..... ..... ##### ##### .#.#. #...# ..#.. #....
..#.. ..... ..... ..#.. ..#.. #...# ..#.. #....
..#.. .##.. ..... ..#.. .#.#. #...# ..#.. #...#
..... .##.. ..... ..... #...# .###. ..#.. .###.
a     e     f     g     k     m     n     p     r     s     t     v
..... ..... ..##. ..... #.... ..... ..... ..... ..... ..... .#... .....
..... ..... .#..# ..... #.... ..... ..... ..... ..... ..... .#... .....
.###. .###. .#... .#### #..#. ##.#. #.##. ####. #.##. .#### ###.. #...#
....# #...# ####. #...# #.#.. #.#.# ##..# #...# ##..# #.... .#... #...#
.#### ##### .#... .#### ##... #.#.# #...# ####. #.... .###. .#... #...#
#...# #.... .#... ....# #.#.. #.#.# #...# #.... #.... ....# .#..# .#.#.
.#### .###. .#... .###. #..#. #.#.# #...# #.... #.... ####. ..##. ..#..
`

// font is the sheet drawn at one scale: for each glyph how much of each cell it covers, 0 to 255, row by row.
type font struct {
	scale  int
	size   image.Point // of a glyph, in cells
	glyphs map[byte][]byte
}

// newFont draws the glyphs with scale cells to a dot, at least 1.
func newFont(scale int) *font {
	f := &font{
		scale:  scale,
		size:   image.Pt(glyphWidth*scale, glyphHeight*scale),
		glyphs: map[byte][]byte{},
	}
	lines := strings.Split(strings.Trim(sheet, "\n"), "\n")
	for ; len(lines) > 0; lines = lines[1+glyphHeight:] {
		for at := 0; at < len(lines[0]); at += advance {
			f.glyphs[lines[0][at]] = f.draw(lines[1:1+glyphHeight], at)
		}
	}
	return f
}

// draw draws the glyph whose dots begin at column at of rows, with a round pen one dot wide that moves from dot to dot.
func (f *font) draw(rows []string, at int) []byte {
	strokes := strokesOf(rows, at)
	scale := float64(f.scale)
	cells := make([]byte, 0, f.size.X*f.size.Y)
	for y := range f.size.Y {
		for x := range f.size.X {
			// The middle of the cell, in dots from the middle of the first dot.
			p := point{(float64(x)+0.5)/scale - 0.5, (float64(y)+0.5)/scale - 0.5}
			away := math.Inf(1)
			for _, s := range strokes {
				away = min(away, s.distance(p))
			}
			cells = append(cells, byte(255*min(max((0.5-away)*scale+0.5, 0), 1)))
		}
	}
	return cells
}

// point is a position in dots.
type point struct{ x, y float64 }

// stroke is a straight line from a to b.
type stroke struct{ a, b point }

// strokesOf joins each dot with itself, so that a single one is visible, and with its neighbours; with diagonal ones
// only when there is no path around the corner.
func strokesOf(rows []string, at int) (strokes []stroke) {
	dot := func(x, y int) bool {
		return x >= 0 && x < glyphWidth && y < glyphHeight && rows[y][at+x] == '#'
	}
	for y := range glyphHeight {
		for x := range glyphWidth {
			for _, to := range [...]image.Point{{x, y}, {x + 1, y}, {x, y + 1}, {x + 1, y + 1}, {x - 1, y + 1}} {
				corner := to.X != x && to.Y != y && (dot(to.X, y) || dot(x, to.Y))
				if dot(x, y) && dot(to.X, to.Y) && !corner {
					strokes = append(strokes,
						stroke{point{float64(x), float64(y)}, point{float64(to.X), float64(to.Y)}})
				}
			}
		}
	}
	return strokes
}

// distance returns the distance of p from the line.
func (s stroke) distance(p point) float64 {
	dx, dy := s.b.x-s.a.x, s.b.y-s.a.y
	along := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		along = min(max(((p.x-s.a.x)*dx+(p.y-s.a.y)*dy)/length, 0), 1)
	}
	return math.Hypot(s.a.x+along*dx-p.x, s.a.y+along*dy-p.y)
}

// width returns the width of a text of n glyphs, in cells.
func (f *font) width(n int) int { return (n*advance - 1) * f.scale }

// label is a place for text: its font, and its upper left corner in cells.
type label struct {
	font *font
	at   image.Point
}

// text writes s in the given luma. Glyphs that the sheet lacks are left blank.
func (c canvas) text(l label, luma byte, s string) {
	size := l.font.size
	for i := range len(s) {
		x := l.at.X + i*advance*l.font.scale
		for j, cover := range l.font.glyphs[s[i]] {
			if cover > 0 {
				c.blend(x+j%size.X, l.at.Y+j/size.X, luma, int(cover))
			}
		}
	}
}
