package testpattern

import (
	"fmt"
	"image"
	"math"
	"time"
)

// The texts of the panel.
const (
	name        = "kvsagent"
	clockLayout = "15:04:05.000"
	dateLayout  = "2006-01-02 UTC-07:00  "
	frameLayout = "frame 0000000"
)

// panel is the sign in front of the bars: from top to bottom the name, the clock, a line that fills once a second, and
// a note with the date and the frame number. Small ones omit the date, and the smallest ones the note.
type panel struct {
	frame image.Rectangle
	title label
	clock label
	line  image.Rectangle
	note  label
	noted bool // there is room for the note
	dated bool // and for the date in it

	gap int // between the rows, in cells
}

// newPanel makes a panel for the middle of bars, as large as they allow.
func newPanel(bars image.Rectangle) *panel {
	p := &panel{}
	p.scale(bars)
	p.place(bars)
	return p
}

// scale selects the fonts and what there is room for.
func (p *panel) scale(bars image.Rectangle) {
	scale := max(1, min(bars.Dx()/100, bars.Dy()/26))
	p.title.font, p.clock.font, p.gap = newFont(scale+1), newFont(scale), 2*scale
	p.noted = true

	wide := p.clock.font.width(len(clockLayout))
	full := newFont(1).width(len(dateLayout + frameLayout))
	p.note.font = newFont(max(1, wide/full))
	p.dated = wide >= full

	if p.rows() > bars.Dy() || p.title.font.width(len(name)) > bars.Dx() {
		p.title.font, p.gap = p.clock.font, 1
		p.noted = p.rows() <= bars.Dy()
	}
}

// rows returns the height of the panel, with one row to spare for even places.
func (p *panel) rows() int {
	rows := p.title.font.size.Y + p.clock.font.size.Y + p.thick() + 4*p.gap + 1
	if p.noted {
		rows += p.note.font.size.Y + p.gap
	}
	return rows
}

// columns returns the width of the panel.
func (p *panel) columns() int {
	return max(p.title.font.width(len(name)), p.clock.font.width(len(clockLayout)), p.note.font.width(p.noteLen())) +
		4*p.gap
}

// thick returns the height of the line, even because it is coloured.
func (p *panel) thick() int { return 2 * max(1, p.clock.font.scale/3) }

func (p *panel) noteLen() int {
	if p.dated {
		return len(dateLayout + frameLayout)
	}
	return len(frameLayout)
}

// place puts the panel into the middle of bars, and its rows into its own.
func (p *panel) place(bars image.Rectangle) {
	size := image.Pt(min(even(float64(p.columns())), bars.Dx()), min(even(float64(p.rows())), bars.Dy()))
	at := image.Pt(even(float64(bars.Min.X+(bars.Dx()-size.X)/2)), even(float64(bars.Min.Y+(bars.Dy()-size.Y)/2)))
	p.frame = image.Rectangle{at, at.Add(size)}

	p.title.at = p.middle(p.title.font.width(len(name)), p.frame.Min.Y+p.gap)
	p.clock.at = p.middle(p.clock.font.width(len(clockLayout)), p.title.at.Y+p.title.font.size.Y+p.gap)
	wide := even(float64(p.clock.font.width(len(clockLayout))))
	start := p.middle(wide, p.clock.at.Y+p.clock.font.size.Y+p.gap)
	start = image.Pt(even(float64(start.X)), even(float64(start.Y)))
	p.line = image.Rectangle{start, start.Add(image.Pt(wide, p.thick()))}
	p.note.at = p.middle(p.note.font.width(p.noteLen()), p.line.Max.Y+p.gap)
}

// middle returns where something of that width begins at row y.
func (p *panel) middle(wide, y int) image.Point {
	return image.Pt((p.frame.Min.X+p.frame.Max.X-wide)/2, y)
}

// drawStill draws what never changes.
func (p *panel) drawStill(c canvas) {
	c.fill(p.frame, grey(black+40))
	c.light(p.frame.Inset(1), black+6)
	c.light(p.line, black+30)
	c.text(p.title, white, name)
}

// draw draws what changes with frame n, at wall by the clock.
func (p *panel) draw(c canvas, n int64, wall time.Time) {
	c.text(p.clock, white, wall.Format(clockLayout))
	p.drawLine(c, wall)
	if !p.noted {
		return
	}
	note := fmt.Sprintf("frame %07d", n%1e7)
	if p.dated {
		note = wall.Format(dateLayout) + note
	}
	c.text(p.note, 180, note)
}

// drawLine fills the line as far as the second has gone.
func (p *panel) drawLine(c canvas, wall time.Time) {
	full := float64(p.line.Dx()) * float64(wall.Nanosecond()) / 1e9
	done := p.line
	done.Max.X = done.Min.X + int(full)
	c.fill(done, amber)
	for y := done.Min.Y; y < done.Max.Y; y++ {
		c.blend(done.Max.X, y, amber.y, int(255*(full-math.Floor(full))))
	}
}
