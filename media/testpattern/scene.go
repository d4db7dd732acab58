package testpattern

import (
	"fmt"
	"image"
	"math"
	"time"

	"github.com/kvsagent/kvsagent/media/internal/avc"
)

const (
	beat = time.Second // time between two hits of the ball
	glow = 0.3         // how long a paddle glows after a hit, as a share of a beat
)

// scene is what the pattern shows, from top to bottom: a strip with the frame number for machines and the format,
// colour bars with a panel before them (name, clock, a line that fills once a second, frame number), the bars in
// reverse, the lane where the ball is thrown to and fro, and a ramp from black to white.
type scene struct {
	still canvas // what never changes
	now   canvas

	panel *panel

	lane   image.Rectangle
	left   image.Rectangle // paddles
	right  image.Rectangle
	radius float64 // of the ball
}

// newScene lays out a picture of the given size and rate and draws what never changes.
func newScene(size image.Point, rate int) *scene {
	s := &scene{still: canvas{avc.NewPicture(size)}, now: canvas{avc.NewPicture(size)}}
	w, h := (size.X+cell-1)/cell, (size.Y+cell-1)/cell
	strip := 2*numberCell/cell + even(float64(h)/90)
	band := even(float64(h) / 18)
	bars := image.Rect(0, strip, w, even(float64(h)*0.7))
	reverse := image.Rect(0, bars.Max.Y, w, bars.Max.Y+band)
	ramp := image.Rect(0, h-band, w, h)
	ramp.Min.Y -= ramp.Min.Y % 2
	s.lane = image.Rect(0, reverse.Max.Y, w, ramp.Min.Y)

	s.still.fill(s.still.bounds(), grey(black))
	s.drawBars(bars, reverse)
	s.drawRamp(ramp)
	s.panel = newPanel(bars)
	s.panel.drawStill(s.still)
	s.layLane()
	s.drawFormat(strip, w, fmt.Sprintf("%dx%dp%d", size.X, size.Y, rate))
	return s
}

// drawBars draws the colour bars of 75 percent, and below them the bars in reverse.
func (s *scene) drawBars(bars, reverse image.Rectangle) {
	const v = 0.75
	dark := grey(black + 8)
	colours := [...]struct{ upper, lower colour }{
		{rgb(v, v, v), rgb(0, 0, v)},
		{rgb(v, v, 0), dark},
		{rgb(0, v, v), rgb(v, 0, v)},
		{rgb(0, v, 0), dark},
		{rgb(v, 0, v), rgb(0, v, v)},
		{rgb(v, 0, 0), dark},
		{rgb(0, 0, v), rgb(v, v, v)},
	}
	edge := func(i int) int { return even(float64(bars.Dx()*i) / float64(len(colours))) }
	for i, c := range colours {
		from, to := edge(i), edge(i+1)
		if i == len(colours)-1 {
			to = bars.Max.X
		}
		s.still.fill(image.Rect(from, bars.Min.Y, to, bars.Max.Y), c.upper)
		s.still.fill(image.Rect(from, reverse.Min.Y, to, reverse.Max.Y), c.lower)
	}
}

// drawRamp draws the ramp from black to white.
func (s *scene) drawRamp(r image.Rectangle) {
	for x := range r.Dx() {
		luma := black + (white-black)*x/(r.Dx()-1)
		s.still.light(image.Rect(x, r.Min.Y, x+1, s.still.bounds().Max.Y), byte(luma))
	}
}

// layLane places the paddles and the ball.
func (s *scene) layLane() {
	s.still.fill(s.lane, grey(black+6))
	tall := even(float64(s.lane.Dy()) * 0.6)
	thick := max(2, even(float64(s.lane.Dx())/80))
	y := s.lane.Min.Y + even(float64(s.lane.Dy()-tall)/2)
	s.left = image.Rect(thick, y, 2*thick, y+tall)
	right := s.lane.Max.X - s.lane.Max.X%2
	s.right = image.Rect(right-2*thick, y, right-thick, y+tall)
	s.still.fill(s.left, cyan)
	s.still.fill(s.right, amber)
	s.radius = min(0.2*float64(s.lane.Dy()), 0.1*float64(s.lane.Dx()))
}

// drawFormat writes the format at the right end of the strip, if it fits beside the number.
func (s *scene) drawFormat(strip, w int, format string) {
	f := newFont(1)
	x := w - f.width(len(format)) - 2
	if x > numberBits*numberCell/cell+2 {
		s.still.text(label{f, image.Pt(x, (strip-f.size.Y)/2)}, 180, format)
	}
}

// draw returns the picture of frame n, at pts after the beginning, at wall by the clock. It is good until the next
// draw.
func (s *scene) draw(n int64, pts time.Duration, wall time.Time) *avc.Picture {
	s.now.Copy(s.still.Picture)
	s.now.number(n)
	s.panel.draw(s.now, n, wall)
	s.drawLane(pts)
	return s.now.Picture
}

// drawLane draws the ball: it is at the left paddle on even beats and at the right one on odd beats, when the hit
// sounds, too. A trail shows its earlier positions.
func (s *scene) drawLane(pts time.Duration) {
	hit := s.left
	if pts/beat%2 == 1 {
		hit = s.right
	}
	since := float64(pts%beat) / float64(beat)
	base := s.still.Y[hit.Min.Y*4*s.still.MBs.X+hit.Min.X]
	s.now.light(hit, base+byte(80*max(0, 1-since/glow)))

	for _, ghost := range [...]struct {
		ago   time.Duration
		cover int
	}{{120 * time.Millisecond, 20}, {80 * time.Millisecond, 40}, {40 * time.Millisecond, 80}, {0, 255}} {
		if pts >= ghost.ago {
			s.drawBall(pts-ghost.ago, ghost.cover)
		}
	}
}

// drawBall draws the ball at its position at pts, lit from the upper left. cover, up to 255, is how much it hides of
// the background.
func (s *scene) drawBall(pts time.Duration, cover int) {
	r := s.radius
	x, y := s.ball(pts)
	for cy := int(y - r - 1); cy <= int(y+r+1); cy++ {
		for cx := int(x - r - 1); cx <= int(x+r+1); cx++ {
			dx, dy := float64(cx)+0.5-x, float64(cy)+0.5-y
			inside := min(max(r+0.5-math.Hypot(dx, dy), 0), 1)
			if inside == 0 {
				continue
			}
			shade := math.Hypot(dx+0.35*r, dy+0.35*r) / (1.4 * r)
			s.now.blend(cx, cy, byte(white-120*min(shade*shade, 1)), int(inside*float64(cover)))
		}
	}
}

// ball returns the middle of the ball at pts, in cells: it flies from paddle to paddle in one beat, in an arc.
func (s *scene) ball(pts time.Duration) (x, y float64) {
	way := float64(pts%beat) / float64(beat)
	low := float64(s.left.Max.Y) - s.radius
	high := float64(s.lane.Min.Y) + s.radius + 1
	y = low - (low-high)*4*way*(1-way)
	if pts/beat%2 == 1 {
		way = 1 - way
	}
	from, to := float64(s.left.Max.X)+s.radius, float64(s.right.Min.X)-s.radius
	return from + (to-from)*way, y
}
