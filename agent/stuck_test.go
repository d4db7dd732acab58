package agent

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/pulse"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/signaling"
)

// TestStuckLoops blocks each loop in turn. It is named when that has lasted, and no longer when it goes on; one that
// has nothing to do is never named. The watcher's time is the test's.
func TestStuckLoops(t *testing.T) {
	a := New(Options{})
	ch := &channel{
		log: slog.New(slog.DiscardHandler), beat: pulse.New(), events: make(chan clientEvent),
		done: make(chan struct{}), early: earlyCandidates{limits: config.SignalingLimits{}},
	}
	ch.settings.Store(&settings{})
	camera := &silent{begun: make(chan media.Sink, 1)}
	s := &source{hub: media.NewHub(media.HubOptions{Source: camera})}
	a.channels["gate"], a.sources["camera"] = ch, s
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	reload := make(chan *config.Config)
	wg.Go(func() { ch.run(ctx) })
	wg.Go(func() { s.hub.Run(ctx) })
	wg.Go(func() { // Run's loop, without all else that Run does
		for {
			select {
			case <-ctx.Done():
				return
			case <-a.beat.C:
			case <-reload:
				a.stopping.Wait()
			}
		}
	})
	gate := make(chan struct{})
	unsubscribe := s.hub.Subscribe(blocked{gate})
	defer unsubscribe()
	out := <-camera.begun

	now := time.Now()
	// after lets the watcher's time pass, five seconds after five seconds, and says who is stuck then.
	after := func(d time.Duration) (names []string) {
		for end := now.Add(d); !now.After(end); now = now.Add(5 * time.Second) {
			names = nil
			for _, x := range a.Stuck(now) {
				names = append(names, x.Loop)
			}
			time.Sleep(20 * time.Millisecond) // the loops take their turn
		}
		return names
	}
	goesOn := func() {
		t.Helper()
		for range 200 {
			if len(after(5*time.Second)) == 0 {
				return
			}
		}
		t.Fatal("what goes on again is still called stuck")
	}
	if got := after(3 * time.Minute); len(got) != 0 {
		t.Errorf("with nothing to do, %v are stuck", got)
	}
	for _, tt := range []struct {
		loop  string
		limit time.Duration
		block func() (release func())
	}{
		{"channel gate", loopWithin, func() func() {
			ch.mu.Lock() // which ignore needs
			ch.events <- clientEvent{&clientRun{}, signaling.Received{Message: signaling.Message{Type: "SDP_OFFER"}}}
			return ch.mu.Unlock
		}},
		{"source camera", hubWithin, func() func() {
			wg.Go(func() { out.Write(&media.Frame{Codec: media.H264, Key: true, Data: [][]byte{{0x65}}}) })
			<-gate // the sink holds the hub's lock
			return func() { gate <- struct{}{} }
		}},
		{"reload", reloadWithin, func() func() {
			a.stopping.Add(1)
			reload <- nil
			return a.stopping.Done
		}},
	} {
		t.Run(tt.loop, func(t *testing.T) {
			release := tt.block()
			time.Sleep(50 * time.Millisecond)
			after(5 * time.Second)
			if got := after(tt.limit + 10*time.Second); len(got) != 1 || got[0] != tt.loop {
				t.Errorf("%v are stuck, want %s alone", got, tt.loop)
			}
			release()
			goesOn()
		})
	}
}

// silent is a source that gives its sink to the test, and delivers nothing by itself: that is no reason to call its hub
// stuck.
type silent struct{ begun chan media.Sink }

func (s *silent) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	select {
	case s.begun <- out:
	default:
	}
	<-ctx.Done()
	return nil
}

// blocked is a sink whose Write says that it has begun, and waits for a word.
type blocked struct{ gate chan struct{} }

func (b blocked) Tracks([]media.Track) {}

func (b blocked) Write(*media.Frame) {
	b.gate <- struct{}{}
	<-b.gate
}
