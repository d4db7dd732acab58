package pipe

import (
	"errors"
	"sync"
	"time"
)

var errStalled = errors.New("no picture")

// stall ends a command that produces no more pictures. A nil stall never does.
type stall struct {
	limit time.Duration
	end   func()

	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	ended bool // by the timer
	wg    sync.WaitGroup
}

// watch returns the stall of a command, or nil if Stall is 0.
func (s *Source) watch(p *process) *stall {
	if s.o.Stall == 0 {
		return nil
	}
	return &stall{limit: s.o.Stall, end: p.end}
}

// fed records a unit.
func (s *stall) fed(video bool) {
	if s == nil || !video {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		s.wg.Add(1)
		s.timer = time.AfterFunc(s.limit, s.out)
		return
	}
	if s.timer.Stop() { // otherwise it has fired
		s.timer.Reset(s.limit)
	}
}

func (s *stall) out() {
	defer s.wg.Done()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.end()
}

// over stops the watch, and reports whether it has ended the command.
func (s *stall) over() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	if s.timer != nil && s.timer.Stop() {
		s.wg.Done()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return s.ended
}
