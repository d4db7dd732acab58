package es

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

const (
	rateOff    = 0.01                   // a clock that is off by more than 1 % is not off by its quartz
	rateWithin = 10 * time.Second       // and so long
	rateAll    = 30 * time.Second       // what is looked at when the times of arrival are too uneven
	rateLost   = 30 * time.Second       // without a picture, a measurement begins anew
	rateSteer  = 0.02                   // by which a corrected clock is steered towards the times of arrival
	rateSlow   = 8                      // a clock that was fast runs at most so much slower until it is right again
	rateStep   = 900 * time.Millisecond // by which one that was slow catches up, from one unit to the next
	rateMost   = 200.0                  // larger factors are nonsense
	rateShared = 0.05                   // so much a network that is too slow may look like a clock that is too fast
)

// Rate corrects the times of a track whose clock runs at the wrong rate: pictures stamped for 25 a second of which 21
// come, or stamps in milliseconds. The rate is measured against the times of arrival. The zero value believes the clock
// until it has been wrong for ten seconds, by about as much in their first half as in their second: a burst at the
// start or a network that is slow for a while is no reason.
//
//	lag = arrival - time of the stream, the least in each second:   ----___----  jitter      \__ burst     /// slow
type Rate struct {
	// Found is called when the clock turns out to be wrong, or right again: it runs so many times as fast as time.
	Found func(times float64)
	// Other is the rate of the other track, if there is one: when both are off a little, and alike, it is the network,
	// and they still belong together.
	Other *Rate

	started bool
	begin   time.Time
	last    moment // the last one seen
	out     time.Duration

	factor float64 // from the stream's time to ours; 0 means 1
	from   moment  // where the current factor began
	base   time.Duration
	ahead  time.Duration // how far the times given out are ahead of what is right

	seconds []second      // at most rateWithin of them, and the current one
	lag     time.Duration // of a corrected clock, when it was corrected
}

// second is what came in one second.
type second struct{ first, least moment } // least has the least lag

// moment is when a unit came, since the beginning, and its time on the stream's clock.
type moment struct{ arrived, stream time.Duration }

func (m moment) lag() time.Duration { return m.arrived - m.stream }

// At returns the corrected time of a unit with time raw on the stream's clock that arrived at now.
func (r *Rate) At(raw time.Duration, now time.Time) time.Duration {
	if !r.started {
		r.started, r.begin, r.factor = true, now, 1
		r.anew(moment{0, raw}, raw)
		return raw
	}
	m := moment{now.Sub(r.begin), raw}
	passed := max(0, m.arrived-r.last.arrived)
	step := time.Duration(float64(m.stream-r.last.stream) * r.factor)
	if step < -jumpBack || step > passed+jumpAhead || passed > rateLost {
		// The clock was set: the Clock behind this one sees the jump.
		r.anew(m, r.out+step)
		return r.out
	}
	r.last = m
	if r.note(m) {
		r.measure(passed)
	}
	right := r.base + time.Duration(float64(m.stream-r.from.stream)*r.factor)
	r.out = max(r.out, r.approach(right, passed))
	if step < 0 {
		r.out = right + r.ahead // as with B-frames: others judge that
	}
	return r.out
}

// anew begins a measurement at m, which is given out as at.
func (r *Rate) anew(m moment, at time.Duration) {
	r.last, r.from, r.base, r.out, r.ahead = m, m, at, at, 0
	r.seconds = append(r.seconds[:0], second{m, m})
	r.lag = m.arrived - at
}

// approach returns the time to give out, on the way from what was given out before to what is right.
func (r *Rate) approach(right, passed time.Duration) time.Duration {
	if r.ahead > 0 {
		r.ahead = max(0, r.ahead-passed+passed/rateSlow)
	} else {
		r.ahead = min(0, r.ahead+rateStep)
	}
	return right + r.ahead
}

// note keeps the unit of each second with the least lag. It reports whether a second is over.
func (r *Rate) note(m moment) (over bool) {
	current := &r.seconds[len(r.seconds)-1]
	if m.arrived/time.Second == current.first.arrived/time.Second {
		if m.lag() < current.least.lag() {
			current.least = m
		}
		return false
	}
	r.seconds = append(r.seconds, second{m, m})
	for m.arrived-r.seconds[0].first.arrived > rateAll {
		r.seconds = r.seconds[1:]
	}
	return len(r.seconds) > 1
}

// measure looks at the seconds that are over. passed is the time since the unit before.
func (r *Rate) measure(passed time.Duration) {
	all := r.seconds[:len(r.seconds)-1]
	if r.factor != 1 {
		r.steer(all[len(all)-1].least)
	}
	recent := all
	for len(recent) > 0 && r.last.arrived-recent[0].first.arrived > rateWithin+2*time.Second {
		recent = recent[1:]
	}
	for _, seconds := range [][]second{recent, all} {
		l, ok := judge(seconds)
		if !ok || math.Abs(l.slope/r.factor-1) < max(rateOff, 4*l.doubt/r.factor) {
			continue
		}
		long := r.last.arrived - seconds[0].first.arrived
		if r.Other != nil && math.Abs(l.slope-1) < rateShared && r.Other.like(l.slope, long) {
			continue
		}
		if math.Abs(l.slope-1) < rateOff {
			l.slope = 1
		}
		r.correct(seconds[0].first, l, passed)
		return
	}
}

// line is a straight line through the units of some seconds.
type line struct {
	slope float64       // time that passes in a second of the stream's time
	doubt float64       // standard error of the slope
	first time.Duration // when the first unit came, by the line
}

// judge returns the line through some seconds. ok is false when they are too few or not even: their halves differ.
func judge(seconds []second) (l line, ok bool) {
	n := len(seconds)
	if n < 6 || seconds[n-1].least.arrived-seconds[0].first.arrived < rateWithin {
		return l, false
	}
	l = fit(seconds)
	unlike := 0.3*min(math.Abs(l.slope-1), math.Abs(1/l.slope-1)) + 0.002
	for _, half := range [][]second{seconds[:n/2+1], seconds[n/2:]} {
		if h := fit(half); !(math.Abs(h.slope/l.slope-1) < unlike+4*h.doubt) { // not a number is not even
			return l, false
		}
	}
	return l, l.slope > 1/rateMost && l.slope < rateMost
}

func fit(seconds []second) line {
	var x, y, xx, xy, yy float64
	zero := seconds[0].first
	for _, p := range seconds {
		s, a := (p.least.stream - zero.stream).Seconds(), (p.least.arrived - zero.arrived).Seconds()
		x, y, xx, xy, yy = x+s, y+a, xx+s*s, xy+s*a, yy+a*a
	}
	n := float64(len(seconds))
	sxx, sxy, syy := xx-x*x/n, xy-x*y/n, yy-y*y/n
	slope := sxy / sxx
	return line{
		slope: slope,
		doubt: math.Sqrt(max(0, syy-slope*sxy) / max(1, n-2) / sxx),
		first: zero.arrived + time.Duration((y-slope*x)/n*float64(time.Second)),
	}
}

// like reports whether this track was off by as much for so long.
func (r *Rate) like(slope float64, long time.Duration) bool {
	recent := r.seconds
	for len(recent) > 0 && r.last.arrived-recent[0].first.arrived > long {
		recent = recent[1:]
	}
	return len(recent) > 2 && math.Abs(fit(recent).slope-slope) < math.Abs(slope-1)/2
}

// correct applies a slope from a moment on, which is some seconds ago.
func (r *Rate) correct(since moment, l line, passed time.Duration) {
	at := r.base + time.Duration(float64(since.stream-r.from.stream)*r.factor)
	r.from, r.base, r.factor = since, at, l.slope
	right := r.base + time.Duration(float64(r.last.stream-r.from.stream)*r.factor)
	r.ahead = r.out - right + passed
	r.lag = l.first - at
	r.seconds = append(r.seconds[:0], second{r.last, r.last})
	if r.Found != nil {
		r.Found(1 / l.slope)
	}
}

// steer keeps a corrected clock at its lag, since a measured rate is never exact.
func (r *Rate) steer(m moment) {
	at := r.base + time.Duration(float64(m.stream-r.from.stream)*r.factor)
	off := m.arrived - at - r.lag
	most := time.Duration(rateSteer * float64(time.Second))
	r.base += min(max(off/2, -most), most)
}

// TellRate reports a clock that was found wrong, for people.
func TellRate(out media.Sink, log *slog.Logger, codec media.Codec, times float64) {
	track := "sound"
	if codec.Video() {
		track = "picture"
	}
	log.Warn("time stamps run at the wrong rate and are corrected", "of", track, "times", fmt.Sprintf("%.3f", times))
	media.Note(out, fmt.Sprintf("the time stamps of the %s run %.2f times as fast as time, and are corrected; "+
		"hint: set a frame rate that the sender can keep, or update its firmware", track, times))
}
