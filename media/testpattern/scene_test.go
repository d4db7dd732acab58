package testpattern

import (
	"fmt"
	"image"
	"strings"
	"testing"
	"time"
)

// TestLayout checks that nothing leaves its place, at any size.
func TestLayout(t *testing.T) {
	for _, size := range []image.Point{
		{320, 180}, {320, 240}, {352, 288}, {426, 240}, {480, 270}, {640, 360}, {640, 480}, {854, 480}, {960, 540},
		{1280, 720},
		{1920, 1080}, {2560, 1440}, {3840, 2160}, {4096, 2304}, {360, 640}, {1080, 1920}, {4096, 180}, {320, 4096},
		{322, 182},
	} {
		t.Run(fmt.Sprintf("%dx%d", size.X, size.Y), func(t *testing.T) {
			s := newScene(size, 30)
			inside := func(what string, r, frame image.Rectangle) {
				t.Helper()
				if r.Empty() || !r.In(frame) {
					t.Errorf("%s is %v, outside %v", what, r, frame)
				}
			}
			text := func(l label, n int) image.Rectangle {
				return image.Rectangle{l.at, l.at.Add(image.Pt(l.font.width(n), l.font.size.Y))}
			}
			picture := image.Rect(0, 0, (size.X+cell-1)/cell, (size.Y+cell-1)/cell)
			below := image.Rect(0, 2*numberCell/cell, picture.Max.X, picture.Max.Y)
			inside("the panel", s.panel.frame, below)
			inside("the lane", s.lane, below)
			inside("the left paddle", s.left, s.lane)
			inside("the right paddle", s.right, s.lane)
			inside("the name", text(s.panel.title, len(name)), s.panel.frame)
			inside("the clock", text(s.panel.clock, 12), s.panel.frame)
			inside("the line", s.panel.line, s.panel.frame)
			if s.panel.noted {
				inside("the note", text(s.panel.note, s.panel.noteLen()), s.panel.frame)
			}
			if s.panel.frame.Overlaps(s.lane) {
				t.Errorf("the panel %v and the lane %v overlap", s.panel.frame, s.lane)
			}
			for pts := time.Duration(0); pts < 2*beat; pts += beat / 100 {
				x, y := s.ball(pts)
				around := image.Rect(int(x-s.radius), int(y-s.radius), int(x+s.radius), int(y+s.radius))
				inside("the ball", around, s.lane)
			}
			s.draw(0, 0, begin)
		})
	}
}

// TestBall checks that the ball touches the paddles when the hit sounds.
func TestBall(t *testing.T) {
	s := newScene(image.Pt(1280, 720), 30)
	if x, _ := s.ball(2 * beat); x-s.radius != float64(s.left.Max.X) {
		t.Errorf("at an even beat the ball ends at %v on the left, want %d, where the paddle is", x-s.radius,
			s.left.Max.X)
	}
	if x, _ := s.ball(3 * beat); x+s.radius != float64(s.right.Min.X) {
		t.Errorf("at an odd beat the ball ends at %v on the right, want %d, where the paddle is", x+s.radius,
			s.right.Min.X)
	}
}

// TestGlyphs checks that the sheet has every character that is ever written, and that no two glyphs are alike.
func TestGlyphs(t *testing.T) {
	f := newFont(1)
	texts := name + dateLayout + frameLayout + "0123456789:.-+1280x720p30"
	for i := range len(texts) {
		if f.glyphs[texts[i]] == nil && texts[i] != ' ' {
			t.Errorf("no glyph for %q", texts[i])
		}
	}
	seen := map[string]byte{}
	for c, cells := range f.glyphs {
		if c == ' ' {
			continue
		}
		if other, ok := seen[string(cells)]; ok {
			t.Errorf("%q looks like %q", c, other)
		}
		seen[string(cells)] = c
	}
}

func TestFont(t *testing.T) {
	f := newFont(1)
	var got strings.Builder
	for i, cover := range f.glyphs['T'] {
		if i%glyphWidth == 0 {
			got.WriteByte('\n')
		}
		got.WriteByte(" #"[cover/255])
	}
	if want := "\n#####" + strings.Repeat("\n  #  ", 6); got.String() != want {
		t.Errorf("T is%s\nwant%s", got.String(), want)
	}
	big := newFont(4)
	if got, want := big.size, image.Pt(20, 28); got != want {
		t.Errorf("a glyph four cells to a dot has the size %v, want %v", got, want)
	}
	if got, want := big.width(3), (3*6-1)*4; got != want {
		t.Errorf("three glyphs four cells to a dot are %d wide, want %d", got, want)
	}
}
