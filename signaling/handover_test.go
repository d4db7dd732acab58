package signaling_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/signaling"
)

// TestHandOverLosesNothing: what waits for the service's pace goes over the next client, in order, and what is under
// way to the first is still read.
func TestHandOverLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		o := f.start()
		first := run(t, o)
		expect[signaling.Connected](first)
		old := f.socket()
		for i := range 8 { // the pace lets five pass
			if err := first.Send(signaling.Message{Type: signaling.SDPAnswer, ClientID: "v", Payload: []byte(offer),
				CorrelationID: fmt.Sprint("n", i)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		next := run(t, o)
		expect[signaling.Connected](next)
		s := f.socket()
		first.HandOver(next.Client)
		for i := range 8 {
			from := old
			if i >= 5 {
				from = s
			}
			if frame := <-from.frames; !strings.Contains(frame, fmt.Sprint("n", i)) {
				t.Errorf("message %d is %s", i, frame)
			}
		}
		old.say(t, message("SDP_OFFER", "w", offer))
		if got := expect[signaling.Received](first); got.ClientID != "w" {
			t.Errorf("received %+v", got)
		}
		time.Sleep(10 * time.Second)
		if n := len(old.frames) + len(s.frames); n != 0 {
			t.Errorf("%d messages came twice", n)
		}
	})
}

// TestRetiredClientMakesNoConnection: it would take the channel from the one that has taken over. Neither GO_AWAY nor
// the end of its connection moves it, and its Run ends without an error.
func TestRetiredClientMakesNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		r.Retire()
		s.say(t, `{"messageType":"GO_AWAY"}`)
		time.Sleep(2 * time.Minute)
		if got := r.Report().State; got != signaling.Online {
			t.Errorf("the retired client is %s, want it to read what it has", got)
		}
		s.Close()
		time.Sleep(10 * time.Minute)
		if n := f.count(wssPath); n != 1 {
			t.Errorf("%d connections, want the first alone", n)
		}
		if r := r.Report(); r.State != signaling.Idle || r.Err != nil {
			t.Errorf("after its connection's end it is %s, %v", r.State, r.Err)
		}
	})
}
