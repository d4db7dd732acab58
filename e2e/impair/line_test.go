package impair

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLine: packets are delivered at their time and in its order, while others come in.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newLine(1)
		go l.run(ctx)
		begin := time.Now()
		type arrival struct {
			name byte
			at   time.Duration
		}
		var got []arrival
		put := func(name byte, size int) {
			l.put(size, func() { got = append(got, arrival{name, time.Since(begin)}) })
		}
		const ms = time.Millisecond
		l.set(Link{Delay: 50 * ms})
		put('a', 972)
		time.Sleep(10 * ms)
		l.set(Link{Reorder: 1, Late: 100 * ms})
		put('b', 972) // after a, and then late
		l.set(Link{Rate: 1e6})
		put('c', 972)
		put('d', 972)
		if c := l.counted(); c.Packets != 4 || c.Passed != 0 || c.Waiting != 16*ms {
			t.Errorf("counts = %+v, want four packets on their way and 16 ms of queue", c)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want := []arrival{{'a', 50 * ms}, {'c', 50 * ms}, {'d', 50 * ms}, {'b', 150 * ms}}
		if !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
		if c := l.counted(); c.Passed != 4 || c.Out != 4*972 || c.Waiting != 0 {
			t.Errorf("counts = %+v, want all passed", c)
		}
	})
}

// TestSqueezedLine: a second of 2 Mbit/s through 1 Mbit/s comes out at 1 Mbit/s, and the rest is dropped; nothing waits
// for longer than the queue.
func TestSqueezedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newLine(1)
		l.set(Link{Rate: 1e6, Queue: 100 * time.Millisecond})
		go l.run(ctx)
		var worst time.Duration
		for range 250 {
			in := time.Now()
			l.put(972, func() { worst = max(worst, time.Since(in)) })
			time.Sleep(4 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		c := l.counted()
		if c.Passed < 135 || c.Passed > 140 || c.Passed+c.Dropped != 250 {
			t.Errorf("counts = %+v, want 125 packets of the second and 12 of the queue", c)
		}
		if limit := 108 * time.Millisecond; worst > limit {
			t.Errorf("a packet took %v, want %v at most", worst, limit)
		}
	})
}

// TestLineIsBounded: a line holds so many packets and no more.
func TestLineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(1)
		l.set(Link{Delay: time.Hour})
		for range mostWaiting + 5 {
			l.put(1, func() {})
		}
		if c := l.counted(); len(l.waiting) != mostWaiting || c.Dropped != 5 {
			t.Errorf("%d packets on the line, %+v; want %d and 5 dropped", len(l.waiting), c, mostWaiting)
		}
	})
}
