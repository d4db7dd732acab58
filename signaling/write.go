package signaling

import "time"

// write sends queued messages over the current session, as its pace allows. One goroutine writes for all sessions, so
// that messages stay in order when the session changes.
func (r *run) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, wrote := r.writeOne()
		if wrote {
			continue
		}
		if wait == 0 {
			wait = time.Hour // until a message or a session comes
		}
		timer.Reset(wait)
		select {
		case <-r.ctx.Done():
			return
		case <-r.c.queue.wake:
		case <-timer.C:
		}
	}
}

// writeOne writes one message, or returns how long until there may be one to write.
func (r *run) writeOne() (wait time.Duration, wrote bool) {
	s := r.live.Load()
	if s == nil || r.ctx.Err() != nil {
		return 0, false
	}
	now := r.c.opts.Now()
	m, ok, wait := r.c.queue.next(now, &s.pace)
	if !ok {
		return wait, false
	}
	r.c.sent.add(m.Message) // before the answer can arrive
	if err := s.send(m.frame); err != nil {
		r.c.queue.putBack(m)
		r.live.CompareAndSwap(s, nil)
		s.conn.Close() // the reader returns the error
		return 0, false
	}
	s.pace.sent(m.Type, now)
	r.c.update(func(p *Report) { p.Sent++ })
	return 0, true
}
