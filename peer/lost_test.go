package peer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// TestMasterStartsAnew: the master's process is killed, says goodbye to nobody, and is there again after 3 s. Its
// viewer learns that by the certificate of the next answer, 8 s after the crash at the latest, not when ICE gives up.
func TestMasterStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v, again := w.site(nat{}), w.site(nat{}), w.site(nat{})
		w.start()
		var mu sync.Mutex // guards the fields below
		var restarted *peer.Conn
		dead := false
		o := callOptions{toMaster: func(s peer.Signal, deliver func(peer.Signal)) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case restarted != nil:
				restarted.Handle(s)
			case !dead:
				deliver(s)
			}
		}}
		c := begin(t, m, v, o)
		c.plays(10)
		m.line.cut.Store(true)
		crash := time.Now()
		mu.Lock()
		dead = true
		mu.Unlock()
		time.Sleep(3 * time.Second)
		fresh, err := peer.New(peer.Config{
			Engine: again.engine, Polite: true,
			Broadcast:    broadcast(t, &ticker{every: 100 * time.Millisecond, gop: 10}, nil),
			Certificates: &peer.Certificates{}, Send: func(s peer.Signal) { c.viewer.Handle(s) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = fresh.Run(ctx) })
		defer func() { cancel(); wg.Wait() }()
		mu.Lock()
		restarted = fresh
		mu.Unlock()
		if err := c.end(c.viewerDone, time.Minute); !errors.Is(err, peer.ErrAnother) {
			t.Errorf("the viewer's side ended with %v", err)
		}
		if took := time.Since(crash); took > 8*time.Second {
			t.Errorf("the viewer noticed after %v", took)
		}
	})
}

// TestRelayAway: the one TURN server that both sides need is gone for 40 s. The session outlives that, and its picture
// is there 5 s after the server is.
func TestRelayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		w.start()
		c := begin(t, m, v, callOptions{turn: true, relayOnly: true})
		c.plays(20)
		w.server.cut.Store(true)
		time.Sleep(40 * time.Second)
		w.server.cut.Store(false)
		if took := c.plays(1); took > 5*time.Second {
			t.Errorf("the picture was back after %v, want 5 s", took)
		}
		c.plays(20)
	})
}
