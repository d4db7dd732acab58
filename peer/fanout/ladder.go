package fanout

import (
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
)

// ladder decides which level a viewer gets, from what is known of its path. It goes down before the picture stutters:
// as soon as the path is full and carries less than the main stream takes. It goes up when two probes in a row have
// shown that the path carries more than that, and after each time that it had to come down again soon, it waits longer.
type ladder struct {
	level Level
	fixed bool // the viewer cannot take the other level

	full   time.Time     // since when the path has been full without a break; zero is not
	calm   time.Time     // since when it has not been full
	hold   time.Duration // how long it must be calm to go up
	up     time.Time     // when it last went up
	probed time.Time     // when it last asked for a probe
	every  time.Duration // between probes
	target float64       // the rate of the probe whose result is awaited; 0: no probe
	passed int           // probes in a row that showed room enough
}

const (
	fullFor    = 100 * time.Millisecond // before it goes down
	holdFirst  = 3 * time.Second
	holdMost   = time.Minute
	holdBlind  = 15 * time.Second       // without feedback on each packet going up is a trial
	soon       = 20 * time.Second       // coming down so soon after going up counts as a failed trial
	probeWait  = 700 * time.Millisecond // for a probe's result
	probeFirst = 2 * time.Second
	probeMost  = 5 * time.Second
	room       = 1.2 // times the main stream is what the path must carry
	probeStep  = 3   // times what the path is known to carry is as far as a probe goes
	probesUp   = 2
	roomy      = 2.5 // times the main stream is a path that will hardly become too narrow
	lookEvery  = 20 * time.Second
)

// step gives the level that the viewer is to have, and the rate in bit/s at which to probe now; 0 is not. rate is what
// the main stream takes, most what the path carries by what is known from elsewhere; 0 is not known.
func (d *ladder) step(now time.Time, s bwe.State, rate, most float64) (l Level, probe float64) {
	if d.calm.IsZero() {
		d.calm = now
	}
	switch {
	case !s.Full:
		d.full = time.Time{}
	case d.full.IsZero():
		d.full, d.calm = now, now
	default:
		d.calm = now
	}
	switch {
	case d.fixed:
	case d.level == Main:
		sure := now.Sub(d.full) >= fullFor || s.Estimate < chokedAt*rate
		if rate > 0 && !d.full.IsZero() && sure && s.Estimate < rate {
			d.down(now)
			break
		}
		if known := most > 0 && most < roomy*rate; rate > 0 && !known && s.Fine && s.Estimate < roomy*rate &&
			now.Sub(d.probed) >= lookEvery {
			d.probed = now
			probe = 1.2 * roomy * rate
		}
	case d.ready(now, s):
		need := room * rate
		if most > 0 {
			need = min(need, most)
		}
		if rate <= 0 || most > 0 && rate > most {
			return d.level, 0
		}
		if !s.Fine {
			if s.Estimate > 0 { // without an estimate, a probe that was too much goes unseen
				d.rise(now)
			}
			break
		}
		probe = d.try(now, s.Estimate, need)
	}
	return d.level, probe
}

// thin says whether the path carries the main stream and not much more, so that the smaller one had better be at hand:
// connecting to it, and its next key frame, take seconds.
func (d *ladder) thin(now time.Time, s bwe.State, rate float64) bool {
	return !d.fixed && d.level == Main && s.Fine && s.Estimate < roomy*rate && !d.probed.IsZero() &&
		now.Sub(d.probed) > probeWait
}

// ready says whether it has been calm for long enough to think of going up.
func (d *ladder) ready(now time.Time, s bwe.State) bool {
	hold := max(d.hold, time.Second)
	if !s.Fine {
		hold = max(hold, holdBlind)
	}
	if now.Sub(d.calm) < hold {
		d.passed, d.target = 0, 0
		return false
	}
	return true
}

// try looks at the last probe's result, and asks for the next probe or goes up.
func (d *ladder) try(now time.Time, estimate, need float64) (probe float64) {
	if d.target > 0 {
		if now.Sub(d.probed) < probeWait {
			return 0
		}
		reached := estimate >= 0.9*d.target
		d.target = 0
		switch {
		case estimate >= need:
			d.passed++
			d.every = 0
		case reached: // a step on the way: the next goes further
			d.passed, d.every = 0, 0
		default:
			d.passed, d.every = 0, min(max(probeFirst, d.every*3/2), probeMost)
		}
		if d.passed == probesUp {
			d.rise(now)
			return 0
		}
	}
	if now.Sub(d.probed) < d.every {
		return 0
	}
	d.probed, d.target = now, min(need*1.1, probeStep*estimate)
	return d.target
}

func (d *ladder) rise(now time.Time) {
	d.level, d.up = Main, now
	d.passed, d.target, d.every = 0, 0, 0
}

func (d *ladder) down(now time.Time) {
	switch {
	case d.up.IsZero() || now.Sub(d.up) > soon:
		d.hold = holdFirst
	default:
		d.hold = min(2*max(d.hold, holdFirst), holdMost)
	}
	d.level, d.calm, d.full = Sub, now, time.Time{}
}
