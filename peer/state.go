package peer

import (
	"log/slog"
	"time"

	"github.com/pion/webrtc/v4"
)

// State is how far a connection has come.
type State string

// The states of a Conn.
const (
	Negotiating  State = "negotiating" // descriptions are not yet exchanged
	Connecting   State = "connecting"  // ICE or DTLS is under way
	Connected    State = "connected"
	Disconnected State = "disconnected" // nothing heard for a while; may come back by itself
)

// Stages is when each step to the first frame was reached, since New; 0 is not yet.
type Stages struct {
	Offer     time.Duration // sent, or taken
	Answer    time.Duration // sent, or taken
	ICE       time.Duration
	Connected time.Duration // with the DTLS handshake done
	Packet    time.Duration // sent, of whatever track
	Frame     time.Duration // the first key frame sent or received
}

// LogValue writes the stages that were reached.
func (s Stages) LogValue() slog.Value {
	var out []slog.Attr
	for _, x := range []struct {
		name string
		at   time.Duration
	}{{"offer", s.Offer}, {"answer", s.Answer}, {"ice", s.ICE}, {"connected", s.Connected}, {"packet", s.Packet}, {"frame", s.Frame}} {
		if x.at > 0 {
			out = append(out, slog.Duration(x.name, x.at.Round(100*time.Microsecond)))
		}
	}
	return slog.GroupValue(out...)
}

// reached notes when a stage was reached first, and reports whether this was it.
func (c *Conn) reached(stage func(*Stages) *time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := stage(&c.stages)
	if *d != 0 {
		return false
	}
	*d = max(time.Since(c.began), 1)
	return true
}

func (c *Conn) stagesSoFar() Stages {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stages
}

// wasConnected says whether media has flowed.
func (c *Conn) wasConnected() bool { return c.stagesSoFar().Connected != 0 }

func (c *Conn) enter(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

func (c *Conn) inState(s State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == s
}

// onFrame notes the first key frame, from whatever goroutine. Run tells of it: a sender has no time for that.
func (c *Conn) onFrame() {
	c.reached(func(st *Stages) *time.Duration { return &st.Frame })
	c.wake.add(stateChanged)
}

// noteFrame tells of the first key frame, once.
func (c *Conn) noteFrame() {
	if c.framed || c.stagesSoFar().Frame == 0 {
		return
	}
	c.framed = true
	if c.o.OnFrame != nil {
		c.o.OnFrame()
	}
}

// current is the link that there is; nil before the first description.
func (c *Conn) current() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

func (c *Conn) connection() *webrtc.PeerConnection {
	if l := c.current(); l != nil {
		return l.pc
	}
	return nil
}

func (c *Conn) setOffered(byUs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offered = byUs
}

// offeredByUs says whether the first offer was ours.
func (c *Conn) offeredByUs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offered
}

// knows says whether an ICE user name is in the remote's description.
func (c *Conn) knows(ufrag string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote.Has(ufrag)
}
