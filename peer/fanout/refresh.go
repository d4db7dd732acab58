package fanout

import (
	"slices"
	"time"
)

// repeatAfter is how long a viewer with a slow path may take to see a key frame and to stop asking.
const repeatAfter = 1500 * time.Millisecond

// mayRepeat says whether a cached key frame may be sent out of turn. One that is under way, and one that was repeated
// already, may not.
func (s *Sender) mayRepeat(key *packets, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served != key.number && now.Sub(s.keyAt) > repeatAfter
}

// refresh serves a key frame request: from the source if it can make one, else from the cache. It reports whether it
// did.
func (b *Broadcast) refresh(s *Sender) bool {
	st := b.showing(s)
	if st.hub.CanMakeKeyFrames() {
		return st.hub.RequestKeyFrame()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	return st.worth(now, s.burstRate()) && s.mayRepeat(st.window[0], now) && b.jump(s, st)
}

// resume brings a sender that was paused up to live: with what is cached of its level, unless the next key frame is
// nearer.
func (b *Broadcast) resume(s *Sender) {
	st := b.showing(s)
	if b.resumeFrom(s, st) || !st.hub.CanMakeKeyFrames() {
		return
	}
	st.hub.RequestKeyFrame()
}

func (b *Broadcast) resumeFrom(s *Sender, st *stream) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return st.worth(time.Now(), s.burstRate()) && b.jump(s, st)
}

// showing is the level whose key frame helps a viewer: the one that it is to have, unless that has no picture for it so
// far.
func (b *Broadcast) showing(s *Sender) *stream {
	level, target := s.levels()
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.canSend(b.streams[target].window) {
		return b.streams[target]
	}
	return b.streams[level]
}

// jump queues for a sender what is cached of a level, with the lock held. It reports whether it did.
func (b *Broadcast) jump(s *Sender, st *stream) bool {
	if !slices.Contains(b.senders, s) && !s.inShard() || !s.canSend(st.window) {
		return false // it has ended, or cannot take this
	}
	b.takeOut(s)
	s.restart(st.level, st.window)
	return true
}
