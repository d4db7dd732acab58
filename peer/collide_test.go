package peer

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
)

// enough is a sink that tells when it has got some frames.
type enough struct {
	left atomic.Int64
	done chan struct{}
}

func newEnough(n int64) *enough {
	e := &enough{done: make(chan struct{})}
	e.left.Store(n)
	return e
}

func (e *enough) Tracks([]media.Track) {}

func (e *enough) Write(*media.Frame) {
	if e.left.Add(-1) == 0 {
		close(e.done)
	}
}

// TestChannelsBetweenTwoHostsDoNotCollide: twenty channels of one agent are watched by another agent, all at once. Each
// has one address to the other if all its connections share a socket.
func TestChannelsBetweenTwoHostsDoNotCollide(t *testing.T) {
	const channels, rounds = 20, 5
	masters, viewers := loopback(t), loopback(t)
	for round := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		hub := media.NewHub(media.HubOptions{Source: hundred{}})
		cast := fanout.NewBroadcast(hub, nil)
		var running sync.WaitGroup
		running.Go(func() { hub.Run(ctx) })
		var sinks []*enough
		for range channels {
			sink := newEnough(20)
			sinks = append(sinks, sink)
			var master, viewer *Conn
			var err error
			if master, err = New(Config{
				Engine: masters, Broadcast: cast, SetupTimeout: time.Minute, Send: func(s Signal) { viewer.Handle(s) },
			}); err != nil {
				t.Fatal(err)
			}
			if viewer, err = New(Config{
				Engine: viewers, Receive: true, Offer: true, Sink: sink, SetupTimeout: time.Minute,
				Send: func(s Signal) { master.Handle(s) },
			}); err != nil {
				t.Fatal(err)
			}
			for what, conn := range map[string]*Conn{"master": master, "viewer": viewer} {
				running.Go(func() {
					if err := conn.Run(ctx); err != nil {
						t.Logf("round %d, %s: %v", round, what, err)
					}
				})
			}
		}
		for i, sink := range sinks {
			select {
			case <-sink.done:
			case <-ctx.Done():
				t.Errorf("round %d: channel %d lacks %d of 20 frames", round, i, sink.left.Load())
			}
		}
		cancel()
		running.Wait()
		if t.Failed() {
			return
		}
	}
}
