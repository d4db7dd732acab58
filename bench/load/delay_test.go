package load

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(25 * time.Millisecond)
		defer l.close()
		began := time.Now()
		came := make(chan time.Duration, 3)
		for range 2 {
			l.do(func() { came <- time.Since(began) })
		}
		time.Sleep(10 * time.Millisecond)
		l.do(func() { came <- time.Since(began) })
		for i, want := range []time.Duration{25, 25, 35} {
			if got := <-came; got != want*time.Millisecond {
				t.Errorf("message %d came after %v, want %v ms", i, got, int(want))
			}
		}
	})
}

func TestLateAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(time.Second)
		done := 0
		for range 2 * lateQueue { // and nobody waits for room
			l.do(func() { done++ })
		}
		l.close()
		l.close()
		l.do(func() { t.Error("done after the end") })
		if done < lateQueue || done > lateQueue+1 {
			t.Errorf("%d of %d done, want as many as there is room for", done, 2*lateQueue)
		}
	})
}
