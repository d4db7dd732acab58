package peer

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Broadcast sends one hub's frames to all its Conns. It subscribes to the hub while there is a Conn, packetises each frame once, and
// keeps the packets since the last key frame, so that a newcomer has a picture at once.
type Broadcast struct {
	hub        *media.Hub
	packetiser packetiser // used by the hub's goroutine

	joining     sync.Mutex // guards the two fields below; never taken by the hub's goroutine
	joined      int
	unsubscribe func()

	mu      sync.Mutex // guards the fields below and the order of what senders get
	tracks  []media.Track
	changed chan struct{} // closed and replaced when tracks change
	number  uint64        // of the last frame
	window  []*packets    // video since the last key frame
	bytes   int           // in window
	senders []*sender     // those with a queue of their own
	shards  []*shard
}

// NewBroadcast makes the broadcast of a hub. There is one for each hub.
func NewBroadcast(hub *media.Hub) *Broadcast {
	return &Broadcast{hub: hub, changed: make(chan struct{})}
}

// join makes the hub run its source until leave is called.
func (b *Broadcast) join() (leave func()) {
	b.joining.Lock()
	defer b.joining.Unlock()
	if b.joined++; b.joined == 1 {
		b.unsubscribe = b.hub.Subscribe(b)
	}
	return sync.OnceFunc(func() {
		b.joining.Lock()
		defer b.joining.Unlock()
		if b.joined--; b.joined > 0 {
			return
		}
		b.unsubscribe()
		b.mu.Lock()
		shards := b.shards
		b.window, b.shards = nil, nil
		b.mu.Unlock()
		for _, h := range shards {
			h.wait()
		}
	})
}

// Watchers is how many connections want this broadcast now.
func (b *Broadcast) Watchers() int {
	b.joining.Lock()
	defer b.joining.Unlock()
	return b.joined
}

// waitTracks gives the tracks of the source, as soon as they are known. Tracks of an earlier run count: when the camera is away for a
// moment a viewer can connect all the same and sees the picture when it is back.
func (b *Broadcast) waitTracks(ctx context.Context, limit time.Duration) ([]media.Track, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		tracks, changed := b.current()
		if len(tracks) > 0 {
			return tracks, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			if err := b.hub.Report().Err; err != nil {
				return nil, fmt.Errorf("no picture to offer: %w", err)
			}
			return nil, fmt.Errorf("no picture to offer: the source gave none in %v", limit)
		case <-changed:
		}
	}
}

func (b *Broadcast) current() ([]media.Track, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tracks, b.changed
}

// attach hands s the packets since the last key frame and then every frame, until detach is called.
func (b *Broadcast) attach(s *sender) (detach func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.begin(b.window)
	b.senders = append(b.senders, s)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.senders = slices.DeleteFunc(b.senders, func(x *sender) bool { return x == s })
		for _, h := range b.shards {
			h.remove(s)
		}
	}
}

// perShard is how many viewers make another shard, and with it another processor, worth while.
const perShard = 16

// promote takes a sender that is up to live into a shard, if its packets can go straight into the shared socket.
func (b *Broadcast) promote(s *sender) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.upToLive() || !slices.Contains(b.senders, s) {
		return
	}
	b.senders = slices.DeleteFunc(b.senders, func(x *sender) bool { return x == s })
	b.emptiest().add(s, b.number+1)
}

// upToLive says whether a sender can leave its queue.
func (s *sender) upToLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && s.direct != nil && !s.joined
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

// demote gives a sender its own queue back: its packets go through Pion from now on.
func (b *Broadcast) demote(s *sender) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.shards {
		h.remove(s)
	}
	if s.leaveShard() {
		b.senders = append(b.senders, s)
	}
}

func (s *sender) leaveShard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.joined
	s.joined = false
	return left
}

// Tracks implements media.Sink.
func (b *Broadcast) Tracks(tracks []media.Track) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tracks = tracks
	close(b.changed)
	b.changed = make(chan struct{})
}

// Write implements media.Sink.
func (b *Broadcast) Write(f *media.Frame) {
	p, err := b.packetiser.packetise(f)
	if err != nil {
		return // a Conn that would send this codec was refused when it was negotiated
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	p.number = b.number
	b.keep(p)
	for _, s := range b.senders {
		s.push(p)
	}
	for _, h := range b.shards {
		h.push(p)
	}
}

// keep adds a picture to the window.
func (b *Broadcast) keep(p *packets) {
	switch {
	case !p.frame.Codec.Video():
	case p.frame.Key:
		b.window, b.bytes = append([]*packets(nil), p), p.bytes
	case len(b.window) == 0:
	case p.frame.PTS-b.window[0].frame.PTS > maxWindow, b.bytes+p.bytes > maxWindowBytes:
		b.window, b.bytes = nil, 0
	default:
		b.window = append(b.window, p)
		b.bytes += p.bytes
	}
}

// maxWindow bounds what a newcomer is sent at once. A longer GOP is worth no burst.
const (
	maxWindow      = 15 * time.Second
	maxWindowBytes = 16 << 20
)

var _ media.Sink = (*Broadcast)(nil)
