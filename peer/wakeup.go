package peer

import "sync/atomic"

// events is a set of what has happened to a connection since Run last looked.
type events uint32

const (
	stateChanged   events = 1 << iota // of ICE, of DTLS, or the first frame was sent or received
	broken                            // Conn.fault says why
	restartWanted                     // Restart
	migrateWanted                     // Migrate
	networkChanged                    // NetworkChanged
	relayRefused                      // a TURN server gives no more time to what it has given us
)

func (e events) has(x events) bool { return e&x != 0 }

// wakeUp collects events for one goroutine, from any. None is lost, however often it comes before the goroutine looks.
type wakeUp struct {
	c   chan struct{} // 1 slot: there are events
	set atomic.Uint32
}

func newWakeUp() wakeUp { return wakeUp{c: make(chan struct{}, 1)} }

func (w *wakeUp) add(e events) {
	w.set.Or(uint32(e))
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// take gives the events there are, and forgets them.
func (w *wakeUp) take() events { return events(w.set.Swap(0)) }
