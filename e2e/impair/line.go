package impair

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// mostWaiting bounds the packets on a line: a long fat one holds 8 Mbit/s for ten seconds.
const mostWaiting = 10000

// line is one way of a relay: packets wait on it until the clock says that they come out.
type line struct {
	wake chan struct{} // 1 slot: what comes out first has changed

	mu      sync.Mutex // guards the fields below
	clock   *clock
	waiting byTime
	number  uint64 // of the last packet that came in
}

// packet is on its way, and knows how it is delivered.
type packet struct {
	out     time.Time
	number  uint64 // ties keep their order
	size    int
	deliver func()
}

func newLine(seed uint64) *line { return &line{wake: make(chan struct{}, 1), clock: newClock(seed)} }

// set changes the link. Packets on their way come out when they would have.
func (l *line) set(link Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock.link = link
}

// put takes a packet of so many bytes. deliver is called by run, at its time, and must not block.
func (l *line) put(size int, deliver func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, ok := l.clock.admit(time.Now(), size)
	if !ok {
		return
	}
	if len(l.waiting) == mostWaiting {
		l.clock.counts.Dropped++
		return
	}
	l.number++
	heap.Push(&l.waiting, &packet{out, l.number, size, deliver})
	if l.waiting[0].number == l.number {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers until ctx is done. What is on its way then is lost.
func (l *line) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := l.take()
		for _, p := range due {
			p.deliver()
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// take gives the packets whose time has come, and how long to wait for the next one.
func (l *line) take() (due []*packet, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.waiting) > 0 {
		if wait := l.waiting[0].out.Sub(now); wait > 0 {
			return due, wait
		}
		p := heap.Pop(&l.waiting).(*packet)
		l.clock.counts.Passed++
		l.clock.counts.Out += uint64(p.size)
		due = append(due, p)
	}
	return due, time.Hour
}

func (l *line) counted() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clock.counts
	c.Waiting = l.clock.waits(time.Now())
	return c
}

// byTime is a heap.Interface: what comes out first is first.
type byTime []*packet

func (h byTime) Len() int { return len(h) }
func (h byTime) Less(i, j int) bool {
	if h[i].out.Equal(h[j].out) {
		return h[i].number < h[j].number
	}
	return h[i].out.Before(h[j].out)
}
func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(p any)   { *h = append(*h, p.(*packet)) }
func (h *byTime) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
