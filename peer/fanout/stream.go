package fanout

import (
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Level is which of a source's streams a viewer gets.
type Level int

// The levels there are.
const (
	Main Level = iota
	Sub        // the same picture, smaller
)

// String implements fmt.Stringer.
func (l Level) String() string { return [...]string{"main", "sub"}[l] }

// stream is one level of a broadcast: it subscribes to its hub while somebody wants it, packetises each frame once, and
// keeps the packets since the last key frame, so that whoever comes to it has a picture at once.
type stream struct {
	b          *Broadcast
	level      Level
	hub        *media.Hub
	packetiser packetiser // used by the hub's goroutine

	joining     sync.Mutex // guards the two fields below; never taken by the hub's goroutine
	joined      int
	unsubscribe func()

	// Guarded by the broadcast's mu.
	tracks []media.Track
	window []*packets    // video since the last key frame
	bytes  int           // in window
	keyAt  time.Time     // when the last key frame came
	every  time.Duration // between the last two; 0 is not known
	meter  media.Meter   // of video
}

// join makes the hub run its source until leave is called.
func (st *stream) join() (leave func()) {
	st.joining.Lock()
	defer st.joining.Unlock()
	if st.joined++; st.joined == 1 {
		st.unsubscribe = st.hub.Subscribe(st)
	}
	return sync.OnceFunc(func() {
		st.joining.Lock()
		defer st.joining.Unlock()
		if st.joined--; st.joined > 0 {
			return
		}
		st.unsubscribe()
		st.b.left(st)
	})
}

// Tracks implements media.Sink.
func (st *stream) Tracks(tracks []media.Track) {
	b := st.b
	b.mu.Lock()
	defer b.mu.Unlock()
	st.tracks = tracks
	close(b.changed)
	b.changed = make(chan struct{})
}

// Write implements media.Sink. Sound comes from the main stream alone.
func (st *stream) Write(f *media.Frame) {
	if st.level != Main && !f.Codec.Video() {
		return
	}
	p, err := st.packetiser.packetise(f)
	if err != nil {
		return // a Conn that would send this codec was refused when it was negotiated
	}
	p.level = st.level
	b := st.b
	b.mu.Lock()
	defer b.mu.Unlock()
	st.keep(p)
	b.send(p)
}

// gives are the tracks that the stream has, as far as is known.
func (st *stream) gives() []media.Track {
	if len(st.tracks) == 0 && len(st.window) > 0 {
		return []media.Track{{Codec: st.window[0].frame.Codec}}
	}
	return st.tracks
}

// keep adds a picture to the window.
func (st *stream) keep(p *packets) {
	if !p.frame.Codec.Video() {
		return
	}
	now := time.Now()
	st.meter.Add(now, p.frame.Key, p.bytes)
	switch {
	case p.frame.Key:
		if !st.keyAt.IsZero() {
			st.every = now.Sub(st.keyAt)
		}
		st.keyAt = now
		st.window, st.bytes = append([]*packets(nil), p), p.bytes
	case len(st.window) == 0:
	// The source has turned to another codec, and gives no key frame of it yet.
	case p.frame.Codec != st.window[0].frame.Codec:
		st.window, st.bytes = nil, 0
	case p.frame.PTS-st.window[0].frame.PTS > maxWindow, st.bytes+p.bytes > maxWindowBytes:
		st.window, st.bytes = nil, 0
	default:
		st.window = append(st.window, p)
		st.bytes += p.bytes
	}
}

// maxWindow bounds what a newcomer is sent at once. A longer GOP is worth no burst.
const (
	maxWindow      = 15 * time.Second
	maxWindowBytes = 16 << 20
)

// worth says whether sending the window at a rate (bit/s) brings a picture that is up to live sooner than waiting for
// the next key frame does.
func (st *stream) worth(now time.Time, rate float64) bool {
	return len(st.window) > 0 && st.burst(rate) < st.nextKey(now)
}

// nextKey is how long the next key frame is away; when that is not known or overdue it is far.
func (st *stream) nextKey(now time.Time) time.Duration {
	if left := st.every - now.Sub(st.keyAt); st.every > 0 && left > 0 {
		return left
	}
	return maxWindow
}

// burst is how long sending the window takes at a rate (bit/s).
func (st *stream) burst(rate float64) time.Duration {
	return time.Duration(float64(st.bytes*8) / max(rate, 1) * float64(time.Second))
}

var _ media.Sink = (*stream)(nil)
