// Package lipsync places the sound of a stream beside its picture by the sender's clock, which RTCP sender reports tell
// (RFC 3550 section 6.4.1).
//
//	picture  PTS 12.0 s <-> 09:00:00.0 by the sender's clock
//	sound    PTS 12.4 s <-> 09:00:00.0   it came late: it is moved by -0.4 s, little by little
//
// Two values, and nothing else: Clock keeps the reports of one track, Sync says by how much the sound is to be moved.
// They read no clock of their own and are used by one goroutine at a time.
package lipsync

import (
	"errors"
	"time"
)

const (
	slowness = 20                     // the sound is moved by one part in so many of the time that has passed
	slack    = 40 * time.Millisecond  // so little is not noticed (ITU-R BT.1359), and reports are hardly better
	most     = 2 * time.Second        // further apart are two clocks, not two tracks
	leap     = 200 * time.Millisecond // from one unit to the next is a clock that was set
	// After that, for both tracks to have been reported on anew; most senders report every 5 s.
	calm    = 15 * time.Second
	longest = time.Second // between two units of sound that count as time in which it plays
)

// Why reports are not followed. The sound stays where it is then.
var (
	ErrApart = errors.New("by its reports the sound is more than 2 s from the picture")
	ErrLeap  = errors.New("the clock of its reports jumps")
)

// Sync moves the sound of one run of a source. The zero value is ready, and moves nothing.
type Sync struct {
	picture, sound side
	zero           time.Time // of the sender's clock, as good as any

	last    time.Duration // PTS of the last unit of sound, as it came
	moved   time.Duration // what is added to it
	moving  bool
	unquiet time.Duration // how long the sound has to play before reports are believed again
}

// side is what is known of one track.
type side struct {
	known  bool
	offset time.Duration // the sender's clock less PTS
}

// Picture takes the PTS of a picture, and when it was taken by the sender's clock; zero is not known. The error is why
// that is not followed.
func (s *Sync) Picture(pts time.Duration, at time.Time) error { return s.note(&s.picture, pts, at) }

// Sound takes the PTS of a unit of sound, likewise, and gives the one that it is to have. That goes back no more than
// pts does, and a second of sound is placed into 0.95 to 1.05 s.
func (s *Sync) Sound(pts time.Duration, at time.Time) (time.Duration, error) {
	err := s.note(&s.sound, pts, at)
	passed := min(max(0, pts-s.last), longest)
	s.last, s.unquiet = pts, max(0, s.unquiet-passed)
	if !s.picture.known || !s.sound.known || s.unquiet > 0 {
		return pts + s.moved, err
	}
	want := s.sound.offset - s.picture.offset
	if want > most || want < -most {
		return pts + s.moved, errors.Join(err, ErrApart)
	}
	off := want - s.moved
	if off > slack || off < -slack {
		s.moving = true
	}
	if s.moving {
		step := passed / slowness
		s.moved += min(max(off, -step), step)
		s.moving = s.moved != want
	}
	return pts + s.moved, err
}

func (s *Sync) note(t *side, pts time.Duration, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	if s.zero.IsZero() {
		s.zero = at
	}
	offset := at.Sub(s.zero) - pts
	step := offset - t.offset
	leapt := t.known && (step > leap || step < -leap)
	t.known, t.offset = true, offset
	if leapt {
		s.unquiet = calm
		return ErrLeap
	}
	return nil
}
