package fanout

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Broadcast sends one source to all its Conns: its main stream and, to those whose path is too narrow for it, its
// smaller one. Each level is subscribed to while somebody wants it.
type Broadcast struct {
	streams []*stream // by Level

	mu      sync.Mutex    // guards the fields below and the order of what senders get
	changed chan struct{} // closed and replaced when the tracks of a level change
	number  uint64        // of the last frame
	senders []*Sender     // those with a queue of their own
	shards  []*shard
}

// NewBroadcast makes the broadcast of a source. sub is the hub of its smaller stream, nil for a source that has none;
// both hubs must have one epoch.
func NewBroadcast(main, sub *media.Hub) *Broadcast {
	b := &Broadcast{changed: make(chan struct{})}
	for level, hub := range []*media.Hub{main, sub} {
		if hub != nil {
			b.streams = append(b.streams, &stream{b: b, level: Level(level), hub: hub})
		}
	}
	return b
}

// HasSub says whether there is a smaller stream.
func (b *Broadcast) HasSub() bool { return len(b.streams) > int(Sub) }

// Join makes a level run until leave is called.
func (b *Broadcast) Join(l Level) (leave func()) { return b.streams[l].join() }

// left forgets what a level had, when its last viewer has left, and waits for shards that have no viewers.
func (b *Broadcast) left(st *stream) {
	for _, h := range b.forget(st) {
		h.wait()
	}
}

// forget gives the shards that have no viewers, and are the broadcast's no longer.
func (b *Broadcast) forget(st *stream) (idle []*shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st.window, st.bytes, st.keyAt, st.every = nil, 0, time.Time{}, 0
	b.shards = slices.DeleteFunc(b.shards, func(h *shard) bool {
		if h.size() > 0 {
			return false
		}
		idle = append(idle, h)
		return true
	})
	return idle
}

// Watchers is how many connections want this broadcast now.
func (b *Broadcast) Watchers() int {
	st := b.streams[Main]
	st.joining.Lock()
	defer st.joining.Unlock()
	return st.joined
}

// WaitTracks gives the tracks of a level, as soon as they are known. Tracks of an earlier run count: when the camera is
// away for a moment a viewer can connect all the same and sees the picture when it is back.
func (b *Broadcast) WaitTracks(ctx context.Context, l Level, limit time.Duration) ([]media.Track, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		tracks, changed := b.Current(l)
		if len(tracks) > 0 {
			return tracks, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			if err := b.streams[l].hub.Report().Err; err != nil {
				return nil, fmt.Errorf("no picture to offer: %w", err)
			}
			return nil, fmt.Errorf("no picture to offer: the source gave none in %v", limit)
		case <-changed:
		}
	}
}

// Current gives the tracks of a level, and what is closed when they change.
func (b *Broadcast) Current(l Level) ([]media.Track, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams[l].tracks, b.changed
}

// send hands a frame to all, with the lock held.
func (b *Broadcast) send(p *packets) {
	b.number++
	p.number = b.number
	for _, s := range b.senders {
		s.push(p)
	}
	for _, h := range b.shards {
		h.push(p)
	}
}

// Attach hands s the packets since the last key frame of its level, unless waiting for the next one is quicker, and
// then every frame, until detach is called.
func (b *Broadcast) Attach(s *Sender) (detach func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if st := b.streams[s.level]; st.worth(time.Now(), s.burstRate()) {
		s.begin(st.window)
	}
	b.senders = append(b.senders, s)
	return func() {
		if h := b.drop(s); h != nil {
			h.written() // before another takes up the numbers of its tracks
		}
	}
}

// drop takes a sender out, and gives the shard that it was in, if it was in one.
func (b *Broadcast) drop(s *Sender) (was *shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.senders = slices.DeleteFunc(b.senders, func(x *Sender) bool { return x == s })
	for _, h := range b.shards {
		if _, ok := h.remove(s); ok {
			was = h
		}
	}
	return was
}

// perShard is how many viewers make another shard, and with it another processor, worth while.
const perShard = 16

// Promote takes a sender that is up to live into a shard, if its packets can go straight into the socket and its path
// is wide.
func (b *Broadcast) Promote(s *Sender) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.upToLive(time.Now()) || !slices.Contains(b.senders, s) {
		return
	}
	b.senders = slices.DeleteFunc(b.senders, func(x *Sender) bool { return x == s })
	b.emptiest().add(s, b.number+1)
}

// emptiest is the shard with the fewest viewers, a new one if that is worth while.
func (b *Broadcast) emptiest() *shard {
	var best *shard
	for _, h := range b.shards {
		if best == nil || h.size() < best.size() {
			best = h
		}
	}
	if best == nil || best.size() >= perShard && len(b.shards) < runtime.GOMAXPROCS(0) {
		best = newShard()
		b.shards = append(b.shards, best)
	}
	return best
}

// Demote gives a sender its own queue back, from which it sends at its own pace.
func (b *Broadcast) Demote(s *Sender) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeOut(s)
}

// takeOut is demote, with the lock held.
func (b *Broadcast) takeOut(s *Sender) {
	for _, h := range b.shards {
		if h.release(s) {
			b.senders = append(b.senders, s)
			return
		}
	}
}

// move brings a sender to a level: at once with what is cached of it, when that is quicker than its next key frame,
// else with that.
func (b *Broadcast) move(s *Sender, l Level) {
	st := b.streams[l]
	asks := st.hub.CanMakeKeyFrames()
	if b.aim(s, st, asks) && asks {
		st.hub.RequestKeyFrame()
	}
}

// aim sets a sender's target, and reports whether it has yet to come there.
func (b *Broadcast) aim(s *Sender, st *stream, asks bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.setTarget(st.level) {
		return false
	}
	// Going up there is no hurry, and what is cached of the larger stream is much. Going down, pictures that catch up
	// are better than none until the next key frame.
	if st.level == Sub && !asks && len(st.window) > 0 && st.burst(s.burstRate()) < catchUp &&
		st.nextKey(time.Now()) > patience {
		b.jump(s, st)
	}
	return true
}

const (
	catchUp  = 3 * time.Second // pictures may take to come up to live
	patience = time.Second     // a key frame that comes so soon is waited for
)

// states are the levels as a viewer sees them.
func (b *Broadcast) states(s *Sender, now time.Time) (out [2]LevelState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, st := range b.streams {
		_, rate := st.meter.Rates(now)
		out[i] = LevelState{There: true, Fit: FitOf(st.gives(), s.takesTrack), warm: s.canSend(st.window), rate: rate}
	}
	return out
}
