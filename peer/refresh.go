package peer

import (
	"slices"
	"time"
)

// repeatAfter is how long a viewer with a slow path may take to see a key frame and to stop asking.
const repeatAfter = 1500 * time.Millisecond

// mayRepeat says whether a key frame that was sent already may be sent again, out of turn. One that is under way, and one that was repeated, may not.
func (s *sender) mayRepeat(key *packets, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served != key.number && now.Sub(s.keyAt) > repeatAfter
}

// refresh serves a wish for a key frame: from the source if it can make one, else from what is cached.
func (b *Broadcast) refresh(s *sender) {
	st := b.showing(s)
	if st.hub.CanMakeKeyFrames() {
		st.hub.RequestKeyFrame()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); st.worth(now, s.burstRate()) && s.mayRepeat(st.window[0], now) {
		b.jump(s, st)
	}
}

// showing is the level whose key frame helps a viewer: the one that it is to have, unless that has no picture for it so far.
func (b *Broadcast) showing(s *sender) *stream {
	level, target := s.levels()
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.canSend(b.streams[target].window) {
		return b.streams[target]
	}
	return b.streams[level]
}

// jump sends a sender what is cached of a level, with the lock held.
func (b *Broadcast) jump(s *sender, st *stream) {
	if !slices.Contains(b.senders, s) && !s.inShard() || !s.canSend(st.window) {
		return // it has ended, or cannot take this
	}
	b.takeOut(s)
	s.restart(st.level, st.window)
}
