package es_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media/internal/es"
)

// feed is a track whose units are made every so often, stamped at a rate, and arrive late by some jitter.
type feed struct {
	every  time.Duration
	times  float64       // how fast the stamps run
	jitter time.Duration // at most
	late   func(made time.Duration) time.Duration
}

// run plays a track for some time and gives each unit's time when made, and its PTS.
func (f feed) run(r *es.Rate, long time.Duration, each func(made, pts time.Duration)) {
	c := es.Clock{Rate: r}
	random := rand.New(rand.NewPCG(1, 2))
	last := time.Duration(0)
	for made := time.Duration(0); made < long; made += f.every {
		arrived := made + time.Duration(random.ExpFloat64()/5*float64(f.jitter))
		if f.late != nil {
			arrived += f.late(made)
		}
		arrived = max(arrived, last) // TCP
		last = arrived
		stamp := 7*time.Hour + time.Duration(float64(made)*f.times)
		pts, _ := c.At(stamp, time.Unix(0, 0).Add(arrived))
		each(made, pts)
	}
}

// TestRate: a clock at the wrong rate is right within 80 ms after 30 seconds, and for as long as it runs; PTS never
// goes back.
func TestRate(t *testing.T) {
	const ms = time.Millisecond
	for _, every := range []time.Duration{33 * ms, 48 * ms, 200 * ms, 1000 * ms} {
		for _, times := range []float64{21.0 / 25, 1.5, 2, 0.5, 1.02, 0.98, 1.0 / 90, 1.2, 0.97} {
			for _, jitter := range []time.Duration{0, 30 * ms} {
				if every == time.Second && times == 2 {
					continue // each step is a jump, which Clock sees
				}
				t.Run(fmt.Sprint(every, " ", times, " ", jitter), func(t *testing.T) {
					found, last, worst := 0.0, time.Duration(-1), time.Duration(0)
					r := &es.Rate{Found: func(times float64) { found = times }}
					feed{every: every, times: times, jitter: jitter}.run(r, 5*time.Minute,
						func(made, pts time.Duration) {
							if pts < last {
								t.Fatalf("at %v PTS goes back from %v to %v", made, last, pts)
							}
							if last = pts; made >= 30*time.Second {
								worst = max(worst, (pts - made).Abs())
							}
						})
					if worst > 80*ms {
						t.Errorf("after 30 s it is off by up to %v", worst)
					}
					if math.Abs(found/times-1) > 0.02 {
						t.Errorf("found %.4f, want %.4f", found, times)
					}
				})
			}
		}
	}
}

// TestRateBelieved: a clock that is right is left alone, whatever the network does.
func TestRateBelieved(t *testing.T) {
	const ms = time.Millisecond
	for name, f := range map[string]feed{
		"quartz":             {times: 1.0005},
		"jitter":             {times: 1, jitter: 200 * ms},
		"much jitter":        {times: 1, jitter: 500 * ms},
		"one second late":    {times: 1, late: step},
		"a burst at first":   {times: 1, late: burst},
		"a pause of the net": {times: 1, late: pause},
	} {
		for _, every := range []time.Duration{40 * ms, time.Second} {
			t.Run(fmt.Sprint(name, every), func(t *testing.T) {
				f.every = every
				r := &es.Rate{Found: func(times float64) { t.Errorf("found to run at %.4f", times) }}
				f.run(r, 5*time.Minute, func(made, pts time.Duration) {
					if want := time.Duration(float64(made) * f.times); (pts - want).Abs() > ms {
						t.Fatalf("at %v PTS is %v", made, pts)
					}
				})
			})
		}
	}
}

// step is late by a second from some time on.
func step(made time.Duration) time.Duration {
	if made < 20*time.Second {
		return 0
	}
	return time.Second
}

// burst is a stream that begins with the last four seconds at once.
func burst(made time.Duration) time.Duration { return max(0, 4*time.Second-made) }

// pause lets nothing through for five seconds in each minute.
func pause(made time.Duration) time.Duration { return max(0, 5*time.Second-made%time.Minute) }

// TestRateShared: when the network is too slow for both tracks, neither clock is wrong.
func TestRateShared(t *testing.T) {
	slow := func(made time.Duration) time.Duration { // 3 % of the time that has passed, up to a minute
		return time.Duration(0.03 * float64(min(made, time.Minute)))
	}
	picture, sound := &es.Rate{}, &es.Rate{}
	picture.Other, sound.Other = sound, picture
	for name, r := range map[string]*es.Rate{"picture": picture, "sound": sound} {
		r.Found = func(times float64) { t.Errorf("%s: found to run at %.4f", name, times) }
	}
	begin := time.Unix(0, 0)
	for made := time.Duration(0); made < 2*time.Minute; made += 20 * time.Millisecond {
		arrived := begin.Add(made + slow(made))
		if made%(40*time.Millisecond) == 0 {
			picture.At(made, arrived)
		}
		sound.At(made, arrived)
	}
	found := false
	alone := &es.Rate{Found: func(float64) { found = true }}
	for made := time.Duration(0); made < time.Minute; made += 40 * time.Millisecond {
		alone.At(made, begin.Add(made+slow(made)))
	}
	if !found {
		t.Error("the control: a track alone is not found to be off by 3 %")
	}
}
