package peer_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
)

// inBubble runs a call between two hosts of the open internet.
func inBubble(t *testing.T, o callOptions, shape func(master, viewer *line),
	test func(t *testing.T, c *call, master, viewer *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		if shape != nil {
			shape(m.line, v.line)
		}
		w.start()
		test(t, begin(t, m, v, o), m, v)
	})
}

// early pictures may be lost: who ends the DTLS handshake first may send before the other has its keys, and a second
// later is too late for what a NACK brings.
const early = 10

func TestBadNetworks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape func(*line)
		gaps  bool // pictures may be lost
	}{
		{"5 % loss", func(l *line) { l.loss = 0.05 }, false},
		{"1 % loss", func(l *line) { l.loss = 0.01 }, false},
		{"30 % loss", func(l *line) { l.loss = 0.3 }, true},
		{"300 ms of delay, and up to 100 more",
			func(l *line) { l.delay, l.jitter = 300*time.Millisecond, 100*time.Millisecond }, false},
		{"a wrong bit in 2 % of packets", func(l *line) { l.wrong = 0.02 }, false},
		{"20 % loss", func(l *line) { l.loss = 0.2 }, true},
		{"reordering", func(l *line) { l.jitter = 60 * time.Millisecond }, false},
		{"500 ms of delay", func(l *line) { l.delay = 500 * time.Millisecond }, false},
		{"everything twice", func(l *line) { l.twice = 1 }, false},
		{"all at once", func(l *line) {
			l.loss, l.delay, l.jitter, l.twice = 0.05, 200*time.Millisecond, 50*time.Millisecond, 0.2
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, callOptions{}, func(m, v *line) { tt.shape(m); tt.shape(v) },
				func(t *testing.T, c *call, _, _ *site) {
					c.plays(100)
					c.got.mu.Lock()
					defer c.got.mu.Unlock()
					missing, last := 0, number(c.got.frames[0])
					start, again := last, false
					for i, f := range c.got.frames[1:] {
						n := number(f)
						if n == start && !again && tt.gaps {
							again, last = true, n // we did not see it whole, and it was sent once more
							continue
						}
						if n <= last {
							t.Fatalf("picture %d came after %d", n, last)
						}
						if i >= early {
							missing += int(n - last - 1)
						}
						last = n
					}
					if missing > 0 && !tt.gaps {
						t.Errorf("%d pictures are missing between %d that came", missing, len(c.got.frames))
					}
				})
		})
	}
}

func TestCandidatesInEveryOrder(t *testing.T) {
	edit := func(change func(peer.Candidate) []peer.Candidate) func(peer.Signal, func(peer.Signal)) {
		return func(s peer.Signal, deliver func(peer.Signal)) {
			c, ok := s.(peer.Candidate)
			if !ok {
				deliver(s)
				return
			}
			for _, c := range change(c) {
				deliver(c)
			}
		}
	}
	late := func(is func(peer.Signal) bool, by time.Duration) func(peer.Signal, func(peer.Signal)) {
		return func(s peer.Signal, deliver func(peer.Signal)) {
			if is(s) {
				time.AfterFunc(by, func() { deliver(s) })
				return
			}
			deliver(s)
		}
	}
	isCandidate := func(s peer.Signal) bool { _, ok := s.(peer.Candidate); return ok }
	isDescription := func(s peer.Signal) bool { return !isCandidate(s) }
	far, nine := "99", uint16(9)
	for name, carry := range map[string]func(peer.Signal, func(peer.Signal)){
		"early":     late(isDescription, time.Second),
		"late":      late(isCandidate, 5*time.Second),
		"duplicate": edit(func(c peer.Candidate) []peer.Candidate { return []peer.Candidate{c, c, c} }),
		"wrong mid": edit(func(c peer.Candidate) []peer.Candidate {
			c.SDPMid, c.SDPMLineIndex = &far, &nine
			return []peer.Candidate{c}
		}),
		"no mid": edit(func(c peer.Candidate) []peer.Candidate {
			c.SDPMid, c.SDPMLineIndex = nil, nil
			return []peer.Candidate{c}
		}),
		"with nonsense": edit(func(c peer.Candidate) []peer.Candidate {
			return []peer.Candidate{{Candidate: "candidate:"}, {Candidate: "x"},
				{Candidate: "candidate:1 1 udp 1 host.example.org 9 typ host"}, c, {}}
		}),
	} {
		for _, masterOffers := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, master offers %v", name, masterOffers), func(t *testing.T) {
				inBubble(t, callOptions{masterOffers: masterOffers, toMaster: carry, toViewer: carry}, nil,
					func(t *testing.T, c *call, _, _ *site) {
						c.plays(5)
					})
			})
		}
	}
}

// TestGlare lets both sides offer at once, at the beginning. The master is polite.
func TestGlare(t *testing.T) {
	for _, delay := range []time.Duration{0, 100 * time.Millisecond, 2 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			inBubble(t, callOptions{masterOffers: true, viewerOffers: true, toMaster: inOrder(delay),
				toViewer: inOrder(delay)}, nil, func(t *testing.T, c *call, _, _ *site) {
				c.plays(10)
				if m, v := c.master.Report(), c.viewer.Report(); m.Offered || !v.Offered {
					t.Errorf("master offered: %v, viewer offered: %v; the viewer's offer should stand", m.Offered,
						v.Offered)
				}
			})
		})
	}
}

// inOrder carries signals with a delay, in order.
func inOrder(delay time.Duration) func(peer.Signal, func(peer.Signal)) {
	var mu sync.Mutex
	var queue []func()
	return func(s peer.Signal, deliver func(peer.Signal)) {
		mu.Lock()
		defer mu.Unlock()
		queue = append(queue, func() { deliver(s) })
		time.AfterFunc(delay, func() {
			mu.Lock()
			defer mu.Unlock()
			queue[0]()
			queue = queue[1:]
		})
	}
}

func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart func(c *call)
	}{
		{"by the viewer", func(c *call) { c.viewer.Restart() }},
		{"by the master", func(c *call) { c.master.Restart() }},
		{"by both at once", func(c *call) { c.master.Restart(); c.viewer.Restart() }},
		{"during a restart",
			func(c *call) { c.viewer.Restart(); time.Sleep(60 * time.Millisecond); c.viewer.Restart() }},
		{"by one during the other's",
			func(c *call) { c.master.Restart(); time.Sleep(60 * time.Millisecond); c.viewer.Restart() }},
		{"by the other during one's",
			func(c *call) { c.viewer.Restart(); time.Sleep(60 * time.Millisecond); c.master.Restart() }},
		{"twenty times", func(c *call) {
			for range 10 {
				c.viewer.Restart()
				time.Sleep(2 * time.Second)
				c.master.Restart()
				time.Sleep(2 * time.Second)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			offers := 0
			count := func(carry func(peer.Signal, func(peer.Signal))) func(peer.Signal, func(peer.Signal)) {
				return func(s peer.Signal, deliver func(peer.Signal)) {
					if _, ok := s.(peer.Offer); ok {
						mu.Lock()
						offers++
						mu.Unlock()
					}
					carry(s, deliver)
				}
			}
			o := callOptions{toMaster: count(inOrder(50 * time.Millisecond)),
				toViewer: count(inOrder(50 * time.Millisecond))}
			inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
				c.plays(10)
				tt.restart(c)
				time.Sleep(time.Second)
				if took := c.plays(20); took > 4*time.Second {
					t.Errorf("after the restart 20 pictures took %v, want 2 s and little more", took)
				}
				time.Sleep(40 * time.Second) // longer than consent lasts without the new path
				c.plays(20)
				mu.Lock()
				defer mu.Unlock()
				if offers < 2 {
					t.Error("nobody offered a restart")
				}
				if r := c.viewer.Report(); r.Receiving[0].Lost != 0 {
					t.Errorf("%d packets were lost over the restart", r.Receiving[0].Lost)
				}
			})
		})
	}
}

// TestBlackout cuts both lines for a while. Up to half a minute media comes back by itself; beyond that it takes a
// restart of ICE.
func TestBlackout(t *testing.T) {
	for _, tt := range []struct {
		dark, back time.Duration
	}{
		{3 * time.Second, 3 * time.Second},
		{10 * time.Second, 3 * time.Second},
		{20 * time.Second, 4 * time.Second},
		{28 * time.Second, 4 * time.Second},
		{33 * time.Second, 5 * time.Second},
	} {
		t.Run(tt.dark.String(), func(t *testing.T) {
			inBubble(t, callOptions{}, nil, func(t *testing.T, c *call, m, v *site) {
				c.plays(10)
				m.line.cut.Store(true)
				v.line.cut.Store(true)
				time.Sleep(tt.dark)
				m.line.cut.Store(false)
				v.line.cut.Store(false)
				if took := c.plays(10); took > tt.back+time.Second {
					t.Errorf("after %v of darkness ten pictures took %v, want at most %v", tt.dark, took,
						tt.back+time.Second)
				}
			})
		})
	}
}

// TestVanishing lets one side fall silent for good in every state. A place for a viewer is free again in time.
func TestVanishing(t *testing.T) {
	drop := func(peer.Signal, func(peer.Signal)) {}
	only := func(kinds ...string) func(peer.Signal, func(peer.Signal)) {
		return func(s peer.Signal, deliver func(peer.Signal)) {
			for _, k := range kinds {
				if fmt.Sprintf("%T", s) == "peer."+k {
					deliver(s)
				}
			}
		}
	}
	for _, tt := range []struct {
		name   string
		o      callOptions
		cut    bool
		within time.Duration
		why    string
	}{
		{"before the offer", callOptions{toMaster: drop}, false, 21 * time.Second, "no offer"},
		{"before the answer", callOptions{masterOffers: true, toMaster: drop}, false, 21 * time.Second, "no answer"},
		{"before the candidates", callOptions{toMaster: only("Offer"), toViewer: drop}, false, 40 * time.Second,
			"no way to the remote"},
		{"before the connection", callOptions{}, true, 40 * time.Second, "no way to the remote"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.o, func(_, v *line) { v.cut.Store(tt.cut) }, func(t *testing.T, c *call, _, _ *site) {
				if err := c.end(c.masterDone, tt.within); err == nil || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("the master's side ended with %v, want %q", err, tt.why)
				}
			})
		})
	}
	t.Run("connected", func(t *testing.T) {
		inBubble(t, callOptions{}, nil, func(t *testing.T, c *call, _, v *site) {
			c.plays(10)
			v.line.cut.Store(true)
			c.stopViewer()
			if err := c.end(c.masterDone, 37*time.Second); err == nil || !strings.Contains(err.Error(), "ice failed") {
				t.Errorf("the master's side ended with %v, want that ice failed", err)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		inBubble(t, callOptions{}, nil, func(t *testing.T, c *call, _, _ *site) {
			c.plays(10)
			c.stopViewer()
			if err := c.end(c.masterDone, 2*time.Second); !errors.Is(err, peer.ErrEnded) {
				t.Errorf("the master's side ended with %v, want %v", err, peer.ErrEnded)
			}
		})
	})
}

// TestADay sends for 24 hours: over a wrap of the 90 kHz timestamp, which comes every 13, and over many of what counts
// packets.
func TestADay(t *testing.T) {
	t.Parallel()
	inBubble(t, callOptions{fps: 0.5}, nil, func(t *testing.T, c *call, _, _ *site) {
		c.plays(5)
		time.Sleep(24 * time.Hour)
		c.plays(5)
		r := c.viewer.Report()
		if n := c.got.count(media.H264); n < 12*3600 || r.Receiving[0].Lost != 0 {
			t.Errorf("%d pictures came in 24 h, %d packets were lost", n, r.Receiving[0].Lost)
		}
		c.got.mu.Lock()
		defer c.got.mu.Unlock()
		for i, f := range c.got.frames[1:] {
			if step := f.PTS - c.got.frames[i].PTS; step < 1900*time.Millisecond || step > 2100*time.Millisecond {
				t.Fatalf("picture %d comes %v after the one before, want 2 s", i+1, step)
			}
		}
	})
}

// What the viewer reports tells the master how far away it is, and how evenly pictures come there.
func TestPathIsHeard(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name        string
		spread      time.Duration // of the way to the viewer
		rtt, jitter [2]time.Duration
	}{
		{"steady", 0, [2]time.Duration{190 * ms, 215 * ms}, [2]time.Duration{0, 5 * ms}},
		{"uneven", 80 * ms, [2]time.Duration{190 * ms, 300 * ms}, [2]time.Duration{10 * ms, 60 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, callOptions{}, func(m, v *line) {
				m.delay, m.jitter, v.delay = 80*ms, tt.spread, 120*ms
			}, func(t *testing.T, c *call, _, _ *site) {
				c.plays(200)
				r := c.master.Report()
				if r.RTT < tt.rtt[0] || r.RTT > tt.rtt[1] || r.Jitter < tt.jitter[0] || r.Jitter > tt.jitter[1] {
					t.Errorf("rtt = %v, want %v; jitter = %v, want %v", r.RTT, tt.rtt, r.Jitter, tt.jitter)
				}
			})
		})
	}
}
