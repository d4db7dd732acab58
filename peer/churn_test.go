package peer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
)

// TestFiveHundredSessions opens and closes connections in random ways and order, and looks at what is left.
func TestFiveHundredSessions(t *testing.T) {
	const sessions, atOnce = 500, 8
	m, v, b := engine(t), engine(t), broadcast(t, &ticker{every: 20 * time.Millisecond, gop: 10}, nil)
	keeper := newCollector() // keeps the source running: its coming and going would count
	pair(t, peer.Config{Engine: m, Broadcast: b}, peer.Config{Engine: v, Receive: true, Sink: keeper, Offer: true},
		same, same)
	keeper.wait(t, media.H264, 5)
	churn(t, m, v, b, 50, atOnce) // pools and tables reach their size
	before := measure(t)
	churn(t, m, v, b, sessions, atOnce)
	var after usage
	for range 100 { // what has ended may still be on its way out
		if after = measure(t); after.goroutines <= before.goroutines && after.files <= before.files {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("before %v; after %d sessions %v", before, sessions, after)
	if after.goroutines > before.goroutines || after.files > before.files || after.heap > before.heap+4<<20 {
		t.Errorf("something is left: before %v, after %v", before, after)
	}
	n := keeper.count(media.H264)
	keeper.wait(t, media.H264, n+5)
}

type usage struct{ goroutines, files, heap int }

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB of heap", u.goroutines, u.files, u.heap>>10)
}

func measure(t *testing.T) usage {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return usage{runtime.NumGoroutine(), len(files), int(s.HeapAlloc)}
}

func churn(t *testing.T, m, v *peer.Engine, b *fanout.Broadcast, n, atOnce int) {
	t.Helper()
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			oneSession(t, m, v, b, rand.New(rand.NewPCG(uint64(i), 5)))
		})
	}
	wg.Wait()
}

// oneSession lives for a random while, loses random signals, and is ended by either side first, or by its time-out.
func oneSession(t *testing.T, m, v *peer.Engine, b *fanout.Broadcast, r *rand.Rand) {
	var master, viewer *peer.Conn
	var mu sync.Mutex // guards r
	lossy := r.IntN(4) == 0
	lost := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return lossy && r.IntN(3) == 0
	}
	masterOffers := r.IntN(2) == 0
	mc := peer.Config{Engine: m, Broadcast: b, Offer: masterOffers, Polite: true, SetupTimeout: time.Second,
		Send: func(s peer.Signal) {
			if !lost() {
				viewer.Handle(s)
			}
		}}
	vc := peer.Config{Engine: v, Receive: true, Offer: !masterOffers || r.IntN(4) == 0, SetupTimeout: time.Second,
		Send: func(s peer.Signal) {
			if !lost() {
				master.Handle(s)
			}
		}}
	var err1, err2 error
	master, err1 = peer.New(mc)
	viewer, err2 = peer.New(vc)
	if err1 != nil || err2 != nil {
		t.Error(err1, err2)
		return
	}
	lives := func() time.Duration { return time.Duration(r.IntN(300)) * time.Millisecond }
	ctxM, cancelM := context.WithTimeout(context.Background(), lives())
	ctxV, cancelV := context.WithTimeout(context.Background(), lives())
	defer cancelM()
	defer cancelV()
	restart := r.IntN(5) == 0
	var wg sync.WaitGroup
	wg.Go(func() { _ = master.Run(ctxM) })
	wg.Go(func() { _ = viewer.Run(ctxV) })
	if restart {
		viewer.Restart()
		master.Restart()
	}
	wg.Wait()
}
