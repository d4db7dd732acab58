package peer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// TestClosingHangs: what hangs is left behind after five seconds, and everybody else goes on.
func TestClosingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(Config{Engine: &Engine{shared: &shared{}}, Send: func(Signal) {}, Receive: true})
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		c.outgoing.work.Go(func() { <-release })
		began := time.Now()
		in := transport.NewInbound(transport.Limits{}.Filled(), false, c.guard, c.o.Log)
		(&link{pc: pc, sockets: c.o.Engine.newSockets(nil, func() {}), inbound: in}).close(&c.outgoing.work, c.guard)
		if took := time.Since(began); took != closeWithin {
			t.Errorf("closing took %v, want %v", took, closeWithin)
		}
		close(release)
		synctest.Wait()
	})
}
