// Package lipsync aligns the audio of a stream with its video by the sender's clock, which RTCP sender reports convey
// (RFC 3550 section 6.4.1).
//
//	picture  PTS 12.0 s <-> 09:00:00.0 by the sender's clock
//	sound    PTS 12.4 s <-> 09:00:00.0   it came late: it is moved by -0.4 s, little by little
//
// It is two values: Clock keeps the reports of one track, Sync computes by how much to shift the audio. They read no
// clock themselves and are used by one goroutine at a time.
package lipsync

import (
	"errors"
	"time"
)

const (
	slowness = 20                     // the audio shifts by at most 1/slowness of the time that has passed
	slack    = 40 * time.Millisecond  // not noticed (ITU-R BT.1359), and reports are hardly more precise
	most     = 2 * time.Second        // a larger difference means two clocks, not two tracks
	leap     = 200 * time.Millisecond // a step between two units that means that the clock was set
	// After a leap, until both tracks were reported again; most senders report every 5 s.
	calm    = 15 * time.Second
	longest = time.Second // a longer time between two units of audio does not count as playing
)

// Why reports are not followed. The audio then stays where it is.
var (
	ErrApart = errors.New("by its reports the sound is more than 2 s from the picture")
	ErrLeap  = errors.New("the clock of its reports jumps")
)

// Sync shifts the audio of one run of a source. The zero value is ready, and shifts nothing.
type Sync struct {
	picture, sound side
	zero           time.Time // of the sender's clock; arbitrary

	last    time.Duration // PTS of the last unit of audio, as it arrived
	moved   time.Duration // the shift added to it
	moving  bool
	unquiet time.Duration // how long the audio has to play before reports are trusted again
}

// side is the state of one track.
type side struct {
	known  bool
	offset time.Duration // the sender's clock minus PTS
}

// Picture takes the PTS of a picture and its capture time on the sender's clock, zero if unknown. The error says why
// that time is not followed.
func (s *Sync) Picture(pts time.Duration, at time.Time) error { return s.note(&s.picture, pts, at) }

// Sound takes the same for a unit of audio, and returns its shifted PTS. That goes back no more than pts does, and a
// second of audio becomes 0.95 to 1.05 s.
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
