package load

import (
	"context"
	"net"
	"sync"
	"time"
)

// lateQueue is how many messages may be on their way; what comes above that is lost, as on a network.
const lateQueue = 1024

// late lets what it is given happen later, each after the same time and in order; after no time, at once.
type late struct {
	by    time.Duration
	queue chan due
	work  sync.WaitGroup

	mu    sync.Mutex // guards ended
	ended bool       // the queue is closed
}

type due struct {
	at time.Time
	do func()
}

func newLate(by time.Duration) *late {
	l := &late{by: by, queue: make(chan due, lateQueue)}
	if by > 0 {
		l.work.Go(func() {
			for d := range l.queue {
				time.Sleep(time.Until(d.at))
				d.do()
			}
		})
	}
	return l
}

func (l *late) do(f func()) {
	if l.by == 0 {
		f()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	select {
	case l.queue <- due{time.Now().Add(l.by), f}:
	default:
	}
}

// close waits for what is on its way: the last word of a viewer is that it leaves.
func (l *late) close() {
	l.mu.Lock()
	if !l.ended {
		l.ended = true
		close(l.queue)
	}
	l.mu.Unlock()
	l.work.Wait()
}

// Sleep waits for d, or until ctx is done, which is an error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// WriteTo implements net.PacketConn.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	if s.out.by == 0 {
		return s.UDPConn.WriteTo(b, to)
	}
	packet := append([]byte(nil), b...)
	s.out.do(func() { _, _ = s.UDPConn.WriteTo(packet, to) }) // as on a network, nobody hears of what does not arrive
	return len(b), nil
}

// Close implements net.PacketConn.
func (s *socket) Close() error {
	s.out.close()
	return s.UDPConn.Close()
}
