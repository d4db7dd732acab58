package peer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Broadcast sends one hub's frames to all its Conns. It subscribes to the hub while there is a Conn, packetises each frame once, and
// keeps the packets since the last key frame, so that a newcomer has a picture at once.
type Broadcast struct {
	hub *media.Hub

	joining     sync.Mutex // guards the two fields below; never taken by the hub's goroutine
	joined      int
	unsubscribe func()

	mu      sync.Mutex // guards the fields below and the order of what senders get
	tracks  []media.Track
	changed chan struct{} // closed and replaced when tracks change
	window  []*packets    // video since the last key frame
	senders []*sender
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
		defer b.mu.Unlock()
		b.window = nil
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
	}
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
	p, err := packetise(f)
	if err != nil {
		return // a Conn that would send this codec was refused when it was negotiated
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Codec.Video() {
		if f.Key {
			b.window = nil
		}
		if f.Key || len(b.window) > 0 {
			b.window = append(b.window, p)
		}
		if len(b.window) > 0 && f.PTS-b.window[0].frame.PTS > maxWindow {
			b.window = nil
		}
	}
	for _, s := range b.senders {
		s.push(p)
	}
}

// maxWindow bounds what a newcomer is sent at once. A longer GOP is worth no burst.
const maxWindow = 15 * time.Second

var _ media.Sink = (*Broadcast)(nil)
