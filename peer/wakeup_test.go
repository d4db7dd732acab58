package peer

import (
	"sync"
	"testing"
)

// TestWakeUp: no event is lost, from however many goroutines they come.
func TestWakeUp(t *testing.T) {
	w := newWakeUp()
	var wg sync.WaitGroup
	all := stateChanged | broken | restartWanted | migrateWanted | networkChanged | relayRefused
	for e := events(1); e <= all; e <<= 1 {
		wg.Go(func() {
			for range 1000 {
				w.add(e)
			}
		})
	}
	var seen events
	for seen != all {
		<-w.c
		seen |= w.take()
	}
	wg.Wait()
	select {
	case <-w.c:
		w.take()
	default:
	}
	if left := w.take(); left != 0 {
		t.Errorf("events %b, and nobody was woken", left)
	}
}
