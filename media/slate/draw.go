package slate

import (
	"image"
	"strings"

	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// Lumas, in limited range.
const (
	background = 28
	words      = 220
	note       = 120
)

// picture is a slate while it is drawn, in cells of 4x4 pixels.
type picture struct {
	*avc.Picture
	glyphs map[byte][]string
	size   image.Point     // that is seen
	pulse  image.Rectangle // what comes and goes, to show that the connection is alive
}

// draw makes the picture of a kind, with a line in small letters below it.
func draw(kind Kind, size image.Point, text string) *picture {
	p := &picture{Picture: avc.NewPicture(size), glyphs: glyphs(), size: image.Pt(size.X/4, size.Y/4)}
	for i := range p.Y {
		p.Y[i] = background
	}
	for i := range p.Cb {
		p.Cb[i], p.Cr[i] = 128, 128
	}
	lines := strings.Split(string(kind), "\n")
	longest := 0
	for _, l := range lines {
		longest = max(longest, len(l))
	}
	// The words take 60 percent of the width, or 70 of the height when that is less.
	scale := max(1, min(p.size.X*6/10/(longest*advance), p.size.Y*7/10/((len(lines)+1)*(glyphHeight+1))))
	small := max(1, scale/2)
	height := len(lines)*(glyphHeight+1)*scale + (glyphHeight+2)*small
	y := (p.size.Y - height) / 2
	for _, l := range lines {
		p.text(l, y, scale, words)
		y += (glyphHeight + 1) * scale
	}
	p.text(text, y+2*small, small, note)
	x := (p.size.X+len(text)*advance*small)/2 + small
	p.pulse = image.Rect(x, y+5*small, x+3*small, y+8*small)
	return p
}

// text writes one line in the middle, from row y on, with scale cells to a dot.
func (p *picture) text(line string, y, scale int, luma byte) {
	x := (p.size.X - (len(line)*advance-1)*scale) / 2
	for _, c := range []byte(line) {
		for row, dots := range p.glyphs[c] {
			for col, dot := range dots {
				if dot == '#' {
					at := image.Pt(x+col*scale, y+row*scale)
					p.fill(image.Rectangle{at, at.Add(image.Pt(scale, scale))}, luma)
				}
			}
		}
		x += advance * scale
	}
}

func (p *picture) fill(r image.Rectangle, luma byte) {
	r = r.Intersect(image.Rect(0, 0, 4*p.MBs.X, 4*p.MBs.Y))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p.Y[y*4*p.MBs.X+x] = luma
		}
	}
}

// dot shows the pulse, or not.
func (p *picture) dot(on bool) {
	luma := byte(background)
	if on {
		luma = note
	}
	p.fill(p.pulse, luma)
}
