package fanout

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// TestABrokenSenderSendsNothing: after a panic in the middle of a frame, no packet may be encrypted under its number
// once more.
func TestABrokenSenderSendsNothing(t *testing.T) {
	var n atomic.Uint64
	v := newViewer(t, nil, 100)
	v.s.Guard = &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &n}
	p, err := (&packetiser{}).packetise(keyFrame(media.H264, 0))
	if err != nil {
		t.Fatal(err)
	}
	p.number = 1
	v.s.joinShard(1)
	whole := v.s.direct.Cipher
	v.s.direct.Cipher = nil
	a := wire.NewArena(wire.ArenaBytes)
	place := func() *byte { return &a.Slot(1)[:1][0] } // of the next packet
	begin := place()
	v.s.sendShared(p, 0, len(p.payloads), time.Now(), a)
	v.s.direct.Cipher = whole
	next := *p
	next.number = 2
	v.s.sendShared(&next, 0, len(next.payloads), time.Now(), a)
	v.s.open = part{p: p, to: len(p.payloads)}
	v.s.leaveShard(nil, []*packets{&next})
	if n.Load() != 1 || place() != begin || len(v.s.queue) != 0 {
		t.Errorf("%d panics, packets to send: %v, and %d frames in the queue after the first", n.Load(),
			place() != begin, len(v.s.queue))
	}
}

// TestAPanicInOneQueueIsContained: the source's goroutine hands a frame to all senders in turn. One that panics ends
// its own connection, and the others get this frame and the next.
func TestAPanicInOneQueueIsContained(t *testing.T) {
	b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	st := b.streams[Main]
	st.Tracks([]media.Track{{Codec: media.H264}})
	var n atomic.Uint64
	bad := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
	bad.Guard = &contain.Guard{
		Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &n,
		Inject: func(where string) {
			if where == "queue" {
				panic("injected")
			}
		},
	}
	good := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
	defer b.Attach(bad)()
	defer b.Attach(good)()
	for i := range 3 {
		st.Write(keyFrame(media.H264, time.Duration(i)*time.Second))
	}
	if got := good.pending(); got == 0 || n.Load() != 3 || bad.Guard.Reason() == nil {
		t.Errorf("the good sender has %d frames, %d panics were counted, the bad one ends with %v",
			got, n.Load(), bad.Guard.Reason())
	}
	if got := bad.pending(); got != 0 {
		t.Errorf("the bad sender has %d frames", got)
	}
}

// pending is how many frames wait.
func (s *Sender) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}
