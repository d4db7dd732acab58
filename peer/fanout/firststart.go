package fanout

import (
	"context"
	"time"
)

// A remote may miss the start of its picture without a trace. Browsers drop media that arrives between the end of the
// DTLS handshake and the moment when the keys reach the decrypter. A receiver also asks for no packet from before the
// first that it got (RFC 4585 section 6.2.1). So the start is sent again, once, as soon as the remote shows that it did
// not see it. Firefox, which misses it often, gets a moment first.

// LateKeys is how long Firefox gets after the handshake. Its keys pass through the main thread.
const LateKeys = 15 * time.Millisecond

// WaitForKeys waits for that.
func WaitForKeys(ctx context.Context, after time.Duration) {
	if after == 0 {
		return
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// firstStart is the start of a picture, until the remote has shown whether it saw it. The sender's mu guards it.
type firstStart struct {
	key    uint64    // number of the key frame that it begins with; 0: nothing has left
	at     time.Time // when that began to leave
	missed bool      // the remote has shown that it did not see it
	over   bool      // the remote has seen it, or has used up the one repetition
}

// begins notes that a key frame is leaving.
func (f *firstStart) begins(key uint64, now time.Time) {
	if f.key == 0 {
		f.key, f.at = key, now
	}
}

// asked takes a key frame request. While the start is under way, a request says that the remote did not see it. asked
// reports whether the start is due again.
func (f *firstStart) asked(now time.Time) bool {
	if !f.over && now.Sub(f.at) <= repeatAfter {
		f.missed = true
	}
	return f.due()
}

// arrived takes the transport-wide number of the first packet that ever arrived. Packets are numbered from zero.
func (f *firstStart) arrived(first uint16) {
	if f.key == 0 || f.over || f.missed {
		return
	}
	f.missed, f.over = first > 0, first == 0
}

// due says whether the start is to be sent again.
func (f *firstStart) due() bool { return f.missed && !f.over }

// take gives the number of the key frame to begin with again, once.
func (f *firstStart) take() (key uint64, ok bool) {
	ok = f.due()
	f.over = f.over || ok
	return f.key, ok
}

// missedStart takes transport-wide feedback, and reports whether it is the one that shows that the remote missed the
// start.
func (s *Sender) missedStart(fci []byte) (missed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.over || s.first.missed {
		return false
	}
	if first, ok := s.video.firstArrived(fci); ok {
		s.first.arrived(first)
	}
	return s.first.missed
}

// startAgain queues the start of a sender's picture again, if that is due. It reports whether it did.
func (b *Broadcast) startAgain(s *Sender) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, level, ok := s.takeStart()
	if !ok {
		return false
	}
	st := b.streams[level]
	if !st.worth(time.Now(), s.burstRate()) || st.window[0].number != key {
		return false // another key frame is nearer
	}
	if !b.jump(s, st) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = 0 // a remote that goes on asking after repeatAfter is served as any other
	return true
}

// takeStart gives what the start begins with, if it is due again.
func (s *Sender) takeStart() (key uint64, l Level, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok = s.first.take()
	return key, s.level, ok
}

// keyRequested serves a key frame request, within bounds. A refused request uses up nothing.
func (s *Sender) keyRequested(now time.Time) {
	s.mu.Lock()
	s.plis++
	again := s.first.asked(now)
	s.mu.Unlock()
	if again && s.b.startAgain(s) {
		return
	}
	before, ok := s.takeKeyTurn(now)
	if ok && !s.b.refresh(s) {
		s.returnKeyTurn(now, before)
	}
}

// takeKeyTurn takes the one request that may be served each keyEvery, and gives when the one before was taken.
func (s *Sender) takeKeyTurn(now time.Time) (before time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.asked) < keyEvery {
		return s.asked, false
	}
	before, s.asked = s.asked, now
	return before, true
}

// returnKeyTurn gives it back.
func (s *Sender) returnKeyTurn(taken, before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.Equal(taken) {
		s.asked = before
	}
}
