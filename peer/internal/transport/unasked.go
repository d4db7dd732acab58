package transport

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// unasked is the media of a remote that is to send none. Some viewers send against our sendonly, GStreamer's webrtcbin
// among them, and that is no reason to lose them: what comes is taken from the socket, counted and thrown away. Nothing
// of it is kept.
//
// On the shared socket that happens before Pion has the packet (udpDemux). On all other paths Pion decrypts it first,
// and keeps some memory for each SSRC, for good. So one SSRC more than unaskedStreams, and Pion's reader of RTP waits
// until the connection ends: what comes then is dropped where packets are sorted, undecrypted. RTCP, DTLS and STUN have
// readers of their own.
type unasked struct {
	bytes atomic.Uint64
	over  chan struct{} // closed when we end the connection
	ended sync.Once
	gone  func() bool // says whether Pion does
	flood func()      // called once, when more has come than limits.Bitrate

	mu   sync.Mutex // guards the fields below
	rate rate
	told bool
}

// goneEvery is how often a reader that waits looks whether Pion wants to close: Pion waits for it, under a lock that
// Run needs.
const goneEvery = 500 * time.Millisecond

// unaskedStreams is how many SSRCs a remote may use that is to send nothing. Pion opens a stream of RTCP for each, of
// which there may be maxRTCPStreams in all.
const unaskedStreams = 8

// add counts n bytes that were thrown away. Many goroutines may call it.
func (u *unasked) add(n int, limit int) {
	u.bytes.Add(uint64(n))
	u.mu.Lock()
	over := u.rate.add(n, limit/8*int(unaskedWindow/time.Second), unaskedWindow) && !u.told
	u.told = u.told || over
	u.mu.Unlock()
	if over && u.flood != nil {
		u.flood()
	}
}

// unaskedBuffer is the buffer of one stream that nobody asked for: it takes everything and holds nothing.
type unaskedBuffer struct {
	in     *Inbound
	excess bool // one SSRC too many
	closed chan struct{}
	once   sync.Once
}

// Write implements io.Writer. In a stream too many it keeps Pion's reader of RTP waiting.
func (b *unaskedBuffer) Write(p []byte) (int, error) {
	defer b.in.contain("media reader")
	b.in.throwAway(len(p))
	if b.excess {
		b.wait(&b.in.unasked)
	}
	return len(p), nil
}

func (b *unaskedBuffer) wait(u *unasked) {
	look := time.NewTicker(goneEvery)
	defer look.Stop()
	for u.gone == nil || !u.gone() {
		select {
		case <-b.closed:
			return
		case <-u.over:
			return
		case <-look.C:
		}
	}
}

// Read implements io.Reader. There is never anything to read.
func (b *unaskedBuffer) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.EOF
}

// Close implements io.Closer.
func (b *unaskedBuffer) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
