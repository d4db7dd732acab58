package peer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/transport/v5/vnet"
)

// bothStreams are a camera's of 4 Mbit/s and of 400 kbit/s, with 30 pictures a second and a key frame each two seconds
// that nobody can ask for.
func bothStreams() (main, sub *ticker) {
	return &ticker{every: time.Second / 30, gop: 60, size: 15_000}, &ticker{every: time.Second / 30, gop: 60,
		size: 1_500}
}

// squeeze runs a call over a line of 8 Mbit/s that becomes narrow after 20 s, and wide again after a minute. It tells
// how long moving down and up took.
type squeeze struct {
	t *testing.T
	c *call
}

func (s *squeeze) level() fanout.Level { return s.c.master.Report().Level }

func (s *squeeze) until(l fanout.Level, most time.Duration) time.Duration {
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
		wide   int64 // bit/s
		narrow int64
		delay  time.Duration
		gap    time.Duration // at the most; our own receiver waits half a second for what was lost
	}{
		{"20 to 2.5 Mbit/s", 20_000_000, 2_500_000, 10 * time.Millisecond, 300 * time.Millisecond},
		{"20 to 1 Mbit/s", 20_000_000, 1_000_000, 10 * time.Millisecond, 1200 * time.Millisecond},
		{"20 Mbit/s to 600 kbit/s", 20_000_000, 600_000, 10 * time.Millisecond, 1200 * time.Millisecond},
		{"20 Mbit/s to 600 kbit/s, far away", 20_000_000, 600_000, 100 * time.Millisecond, 2 * time.Second},
		{"6 Mbit/s to 600 kbit/s", 6_000_000, 600_000, 10 * time.Millisecond, 1600 * time.Millisecond},
		{"6 Mbit/s to 600 kbit/s, far away", 6_000_000, 600_000, 100 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m, v := w.site(nat{}), w.site(nat{})
				m.line.delay, v.line.delay = tt.delay, tt.delay
				m.line.queue = 300 * time.Millisecond
				m.line.rate.Store(tt.wide)
				w.start()
				main, sub := bothStreams()
				s := &squeeze{t: t, c: begin(t, m, v, callOptions{source: main, sub: sub})}
				s.c.plays(100)
				time.Sleep(20 * time.Second)
				if l, moves := s.level(), s.c.master.Report().Moves; l != fanout.Main || moves != 0 {
					t.Fatalf("on a wide path the viewer is on %v after %d moves", l, moves)
				}
				// One that is not much wider than the main stream has the smaller one at hand.
				if thin := tt.wide < 8_000_000; sub.runs.Load() != 0 != thin {
					t.Errorf("the smaller stream runs: %v", !thin)
				}
				m.line.rate.Store(tt.narrow)
				down := s.until(fanout.Sub, 3*time.Second)
				time.Sleep(40 * time.Second)
				m.line.rate.Store(tt.wide)
				up := s.until(fanout.Main, 15*time.Second)
				time.Sleep(time.Minute)
				if tt.wide > 8_000_000 && sub.runs.Load() != 0 {
					t.Error("the smaller stream goes on running")
				}
				r := s.c.master.Report()
				gap, at := s.c.longestGap()
				t.Logf("down after %v, up after %v; the longest time without a picture was %v, %v after the "+
					"beginning; %+v", down, up, gap, at, r.Sending[0])
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

// TestRelayedViewersGetTheSmallerStream has viewers whom only TURN reaches, where 5 Mbit/s is all that passes.
func TestRelayedViewersGetTheSmallerStream(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int // bytes of a picture of the main stream
		end  fanout.Level
		sub  int64 // sessions of the smaller stream in the end: none where the relay carries several times the main one
	}{{"1 Mbit/s", 4_000, fanout.Main, 0}, {"4 Mbit/s", 12_000, fanout.Main, 1}, {"8 Mbit/s", 30_000, fanout.Sub, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				symmetric := nat{"symmetric",
					&vnet.NATType{MappingBehavior: vnet.EndpointAddrPortDependent,
						FilteringBehavior: vnet.EndpointAddrPortDependent}}
				m, v := w.site(symmetric), w.site(symmetric)
				w.start()
				main, sub := bothStreams()
				main.size = tt.size
				s := &squeeze{t: t, c: begin(t, m, v, callOptions{source: main, sub: sub, turn: true})}
				s.c.plays(1)
				if r := s.c.master.Report(); r.Local != "relay" && r.Remote != "relay" {
					t.Fatalf("the path is %s to %s", r.Local, r.Remote)
				}
				took := s.until(fanout.Sub, 3*time.Second)
				time.Sleep(time.Minute)
				r := s.c.master.Report()
				t.Logf("on the smaller stream after %v, then on %v, estimate %.0f", took, r.Level, r.Estimate)
				if r.Level != tt.end {
					t.Errorf("after a minute the viewer is on %v, want %v", r.Level, tt.end)
				}
				if r.Estimate > 5e6 {
					t.Errorf("the estimate is %.0f", r.Estimate)
				}
				if n := int64(sub.runs.Load()); n != tt.sub {
					t.Errorf("after a minute the smaller stream has %d sessions, want %d", n, tt.sub)
				}
			})
		})
	}
}

// TestNarrowWithoutASmallerStream shows what is left when there is nothing to move down to: pictures that are whole,
// seldom, and not old.
func TestNarrowWithoutASmallerStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		m.line.delay, v.line.delay = 10*time.Millisecond, 10*time.Millisecond
		m.line.queue = 300 * time.Millisecond
		m.line.rate.Store(8_000_000)
		w.start()
		main, _ := bothStreams()
		main.size = 14_000
		c := begin(t, m, v, callOptions{source: main})
		c.plays(300)
		m.line.rate.Store(1_500_000)
		narrow := c.got.count(media.H264)
		var behind time.Duration
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			behind = max(behind, c.master.Report().Behind)
		}
		shown := c.got.count(media.H264) - narrow
		m.line.rate.Store(8_000_000)
		time.Sleep(5 * time.Second) // a key frame, and the pace that grows
		wide := c.got.count(media.H264)
		time.Sleep(10 * time.Second)
		again := c.got.count(media.H264) - wide
		gap, at := c.longestGap()
		t.Logf("%d pictures in 30 s of too little, %d in 10 s of enough; behind %v at the most; the longest time "+
			"without a picture was %v, %v after the beginning; %+v",
			shown, again, behind, gap, at, c.master.Report().Sending[0])
		if shown < 15 || again < 290 {
			t.Errorf("%d pictures came in 30 s, and %d in 10 s when there was room again", shown, again)
		}
		if behind > 2*time.Second {
			t.Errorf("a picture was %v behind", behind)
		}
	})
}

// TestThePictureComesBackFromTheCache: a viewer that has lost more than it can ask for again gets the cached pictures,
// long before the camera's next key frame.
func TestThePictureComesBackFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		m.line.delay, v.line.delay = 20*time.Millisecond, 20*time.Millisecond
		w.start()
		// A key frame each minute.
		c := begin(t, m, v, callOptions{source: &ticker{every: 100 * time.Millisecond, gop: 600, size: 2000}})
		c.plays(50)
		m.line.cut.Store(true)
		time.Sleep(3 * time.Second)
		m.line.cut.Store(false)
		back := c.plays(1)
		live := c.plays(30)
		r := c.master.Report().Sending[0]
		t.Logf("the picture was back after %v, 30 more took %v; %d packets sent again, "+
			"%d key frames asked for, %d sent",
			back, live, r.Resent, r.KeysAsked, r.KeyFrames)
		if r.KeyFrames < 2 {
			t.Error("no key frame was sent again")
		}
		if back > 3*time.Second || live > 5*time.Second {
			t.Errorf("the picture was back after %v, 30 more took %v", back, live)
		}
	})
}
