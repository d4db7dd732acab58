package peer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// A camera of 4 Mbit/s and its smaller stream of 400 kbit/s, with 30 pictures a second and a key frame each two seconds that nobody can ask for.
var (
	mainStream = ticker{every: time.Second / 30, gop: 60, size: 15_000}
	subStream  = ticker{every: time.Second / 30, gop: 60, size: 1_500}
)

// squeeze runs a call over a line of 8 Mbit/s that becomes narrow after 20 s, and wide again after a minute. It tells how long moving down and up took.
type squeeze struct {
	t    *testing.T
	c    *call
	line *line
}

func (s *squeeze) level() peer.Level { return s.c.master.Report().Level }

func (s *squeeze) until(l peer.Level, most time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	for s.level() != l {
		if time.Since(began) > most {
			s.t.Fatalf("the viewer is not on %v after %v: %+v", l, most, s.c.master.Report())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

func TestSqueeze(t *testing.T) {
	for _, tt := range []struct {
		name   string
		narrow int64
		delay  time.Duration
		gap    time.Duration // at the most; our own receiver waits half a second for what was lost
	}{
		{"2.5 Mbit/s", 2_500_000, 10 * time.Millisecond, 300 * time.Millisecond},
		{"1 Mbit/s", 1_000_000, 10 * time.Millisecond, 1200 * time.Millisecond},
		{"600 kbit/s", 600_000, 10 * time.Millisecond, 1200 * time.Millisecond},
		{"600 kbit/s, far away", 600_000, 100 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m, v := w.site(nat{}), w.site(nat{})
				m.line.delay, v.line.delay = tt.delay, tt.delay
				m.line.queue = 300 * time.Millisecond
				m.line.rate.Store(8_000_000)
				w.start()
				main, sub := mainStream, subStream
				s := &squeeze{t: t, line: m.line, c: begin(t, m, v, callOptions{source: &main, sub: &sub})}
				s.c.plays(100)
				time.Sleep(20 * time.Second)
				if l, moves := s.level(), s.c.master.Report().Moves; l != peer.Main || moves != 0 {
					t.Fatalf("on a wide path the viewer is on %v after %d moves", l, moves)
				}
				m.line.rate.Store(tt.narrow)
				down := s.until(peer.Sub, 3*time.Second)
				time.Sleep(40 * time.Second)
				m.line.rate.Store(8_000_000)
				up := s.until(peer.Main, 15*time.Second)
				time.Sleep(20 * time.Second)
				r := s.c.master.Report()
				gap, at := s.c.longestGap()
				t.Logf("down after %v, up after %v; the longest time without a picture was %v, %v after the beginning; %+v", down, up, gap, at, r.Sending[0])
				if r.Moves != 2 {
					t.Errorf("%d moves, want 2", r.Moves)
				}
				if gap > tt.gap {
					t.Errorf("%v without a picture", gap)
				}
			})
		})
	}
}

// longestGap is the longest time without a picture, and when it began.
func (c *call) longestGap() (gap, at time.Duration) {
	c.got.mu.Lock()
	defer c.got.mu.Unlock()
	frames := c.got.frames
	for i := 1; i < len(frames); i++ {
		if d := frames[i].Captured.Sub(frames[i-1].Captured); d > gap {
			gap, at = d, frames[i-1].Captured.Sub(frames[0].Captured)
		}
	}
	return gap, at
}
