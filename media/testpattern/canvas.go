package testpattern

import (
	"image"
	"math"

	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// cell is the side of the smallest thing that can be drawn, in pixels. Everything here is placed in cells. Colour has
// half that resolution: what is coloured begins and ends at even cells.
const cell = 4

// colour is a BT.709 colour in limited range.
type colour struct{ y, cb, cr byte }

// The lumas of black and white.
const (
	black = 16
	white = 235
)

var (
	amber = rgb(1, 0.6, 0.1)
	cyan  = rgb(0.1, 0.75, 0.95)
)

func grey(luma byte) colour { return colour{luma, 128, 128} }

// rgb makes a colour from red, green and blue, each from 0 to 1.
func rgb(r, g, b float64) colour {
	luma := 0.2126*r + 0.7152*g + 0.0722*b
	return colour{
		y:  byte(math.Round(16 + 219*luma)),
		cb: byte(math.Round(128 + 224*(b-luma)/1.8556)),
		cr: byte(math.Round(128 + 224*(r-luma)/1.5748)),
	}
}

// canvas draws on a picture.
type canvas struct{ *avc.Picture }

// bounds returns the picture in cells, including those that cropping cuts or hides.
func (c canvas) bounds() image.Rectangle { return image.Rect(0, 0, 4*c.MBs.X, 4*c.MBs.Y) }

// fill paints r.
func (c canvas) fill(r image.Rectangle, with colour) {
	c.light(r, with.y)
	r = r.Intersect(c.bounds())
	stride := 2 * c.MBs.X
	for y := r.Min.Y / 2; y < (r.Max.Y+1)/2; y++ {
		for x := r.Min.X / 2; x < (r.Max.X+1)/2; x++ {
			c.Cb[y*stride+x], c.Cr[y*stride+x] = with.cb, with.cr
		}
	}
}

// light sets the luma of r and leaves its colour alone.
func (c canvas) light(r image.Rectangle, luma byte) {
	r = r.Intersect(c.bounds())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := c.Y[y*4*c.MBs.X:]
		for x := r.Min.X; x < r.Max.X; x++ {
			row[x] = luma
		}
	}
}

// blend moves the luma of one cell towards luma. cover says how far; 255 is all the way.
func (c canvas) blend(x, y int, luma byte, cover int) {
	if !image.Pt(x, y).In(c.bounds()) {
		return
	}
	at := &c.Y[y*4*c.MBs.X+x]
	*at = byte((int(luma)*cover + int(*at)*(255-cover) + 127) / 255)
}

// even returns the even number nearest to v.
func even(v float64) int { return 2 * int(math.Round(v/2)) }
