package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/transport/v5/packetio"
	"github.com/pion/webrtc/v4"
)

// What Limits does not say of an established connection. Whoever exceeds either loses the connection, which costs us
// nothing, unless it is by media that nobody asked for.
const (
	unaskedWindow   = 5 * time.Second  // over which unasked media is measured
	reportsWindow   = 10 * time.Second // over which RTCP is counted
	Silence         = 30 * time.Second // without RTCP, after which a remote that sent some is gone
	maxChannelLabel = 255              // bytes of label, and of protocol
	rtpBufferBytes  = 1_000_000
	streamsEver     = 16 // times those that may be open: Pion keeps a little of each for good
	rtcpBufferBytes = 100_000
)

// Inbound counts what comes in on one connection after decryption, and says once when it is too much.
type Inbound struct {
	limits  Limits
	Receive bool // we asked for media
	fail    func(error)
	guard   *contain.Guard
	unasked unasked // what came although we did not
	// Unhandled gets each stream that Pion knows no section for. Set before the connection is made; may be nil.
	Unhandled func(ssrc uint32)
	// Measured is what AWS's test page asks for; nil answers nothing. Set before the first channel.
	Measured func() Timeline

	mu       sync.Mutex            // guards the fields below
	rtp      int                   // streams that are open
	everRTP  int                   // streams since the beginning
	streams  map[uint32]*rtpBuffer // that are open, by SSRC
	rtcp     int
	reports  rate
	keys     rate      // requests for key frames
	heard    time.Time // when RTCP came last; zero is never
	channels int
	talk     *webrtc.DataChannel // the first that has opened
	ready    chan struct{}       // closed when it has
	messages rate
	bytes    rate
	feedback func(fci []byte) // takes transport-wide feedback; nil when nothing is sent
}

// Watch lets f have the transport-wide feedback that comes, whatever stream it names: browsers name the one whose
// packet came last, retransmissions' too.
func (in *Inbound) Watch(f func(fci []byte)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.feedback = f
}

// rate counts within a window of time.
type rate struct {
	since time.Time
	n     int
}

// add counts n, and reports whether the window holds more than limit.
func (r *rate) add(n, limit int, window time.Duration) (over bool) {
	if now := time.Now(); now.Sub(r.since) > window {
		r.since, r.n = now, 0
	}
	r.n += n
	return r.n > limit
}

// Buffer is the webrtc.SettingEngine's hook: it is called for each new stream.
func (in *Inbound) Buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	defer in.contain("streams")
	in.mu.Lock()
	defer in.mu.Unlock()
	if kind == packetio.RTPBufferPacket && !in.Receive {
		in.rtp++
		return &unaskedBuffer{in: in, excess: in.rtp > unaskedStreams, closed: make(chan struct{})}
	}
	b := packetio.NewBuffer()
	if kind == packetio.RTCPBufferPacket {
		b.SetLimitSize(rtcpBufferBytes)
		if in.rtcp++; in.rtcp > wire.MaxRTCPStreams {
			in.refuse(b, "the remote sent RTCP about more than %d streams (SSRCs)", wire.MaxRTCPStreams)
		}
		return rtcpBuffer{plainBuffer{b}, in}
	}
	b.SetLimitSize(rtpBufferBytes)
	in.rtp++
	in.everRTP++
	switch most := streamsEver * in.limits.Streams; {
	case in.rtp > in.limits.Streams:
		in.refuse(b, "the remote sends more than %d streams (SSRCs) of media at a time; hint: "+
			"limits.inbound.streams, when they are meant", in.limits.Streams)
	case in.everRTP > most:
		in.refuse(b, "the remote sent more than %d streams (SSRCs) of media, one after the other", most)
	}
	r := &rtpBuffer{plainBuffer: plainBuffer{b}, in: in, ssrc: ssrc}
	if in.streams == nil {
		in.streams = map[uint32]*rtpBuffer{}
	}
	in.streams[ssrc] = r
	return r
}

// refuse makes a stream hold nothing.
func (in *Inbound) refuse(b *packetio.Buffer, format string, limit int) {
	_ = b.Close()
	in.fail(fmt.Errorf(format, limit))
}

// NewInbound counts for one connection. receive says that we asked for media.
func NewInbound(limits Limits, receive bool, g *contain.Guard, log *slog.Logger) *Inbound {
	in := &Inbound{limits: limits, Receive: receive, fail: g.Fail, guard: g, ready: make(chan struct{})}
	in.unasked.over = make(chan struct{})
	in.unasked.flood = func() {
		log.Info("the remote sends media that nobody asked for; it is thrown away", "more_than_bps", limits.Bitrate)
	}
	return in
}

// EndsWith says how to find out that Pion closes the connection.
func (in *Inbound) EndsWith(gone func() bool) { in.unasked.gone = gone }

// UnaskedBytes is how much media came that nobody asked for.
func (in *Inbound) UnaskedBytes() uint64 { return in.unasked.bytes.Load() }

// Opens is closed when the remote has opened a data channel.
func (in *Inbound) Opens() <-chan struct{} { return in.ready }

// WhenSent calls f when all that was said has been acknowledged.
func (in *Inbound) WhenSent(f func()) { in.talk.OnBufferedAmountLow(f) }

// throwAway counts media that nobody asked for.
func (in *Inbound) throwAway(n int) { in.unasked.add(n, in.limits.Bitrate) }

// End lets go of a reader that waits in a stream too many. It must come before the peer connection's close, which waits
// for it.
func (in *Inbound) End() { in.unasked.ended.Do(func() { close(in.unasked.over) }) }

// plainBuffer is a packetio.Buffer as the hook wants it.
type plainBuffer struct{ *packetio.Buffer }

func (b plainBuffer) Read(p []byte) (int, error) {
	n, _, err := b.Buffer.Read(p, nil)
	return n, err
}

func (b plainBuffer) Write(p []byte) (int, error) { return b.Buffer.Write(p, nil) }

// rtpBuffer is one for media that we asked for.
type rtpBuffer struct {
	plainBuffer
	in    *Inbound
	once  sync.Once
	ssrc  uint32
	known bool   // there is a first packet
	first []byte // packet; guarded by in.mu
}

// Close is called when a stream is no longer part of what was agreed on: another may come in its place.
func (b *rtpBuffer) Close() error {
	b.once.Do(func() {
		b.in.mu.Lock()
		defer b.in.mu.Unlock()
		b.in.rtp--
		if b.in.streams[b.ssrc] == b {
			delete(b.in.streams, b.ssrc)
		}
	})
	return b.plainBuffer.Close()
}

func (b *rtpBuffer) Write(p []byte) (int, error) {
	defer b.in.contain("media reader")
	if !b.known { // Pion writes from one goroutine
		b.known = true
		b.in.mu.Lock()
		b.first = bytes.Clone(p)
		b.in.mu.Unlock()
	}
	return b.plainBuffer.Write(p)
}

// First is the first packet of a stream that is open; nil is none.
func (in *Inbound) First(ssrc uint32) []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	if b := in.streams[ssrc]; b != nil {
		return b.first
	}
	return nil
}

// rtcpBuffer counts what is written to it.
type rtcpBuffer struct {
	plainBuffer
	in *Inbound
}

func (b rtcpBuffer) Write(p []byte) (int, error) {
	defer b.in.contain("feedback")
	b.in.guard.At("feedback")
	if feedback := b.in.report(p); feedback != nil {
		wire.EachFeedback(p, feedback)
	}
	return b.plainBuffer.Write(p)
}

// report notes that RTCP has come, and returns the taker of its feedback.
func (in *Inbound) report(p []byte) (feedback func(fci []byte)) {
	const seconds = int(reportsWindow / time.Second)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.heard = time.Now()
	switch {
	case in.keys.add(wire.CountRTCP(p, wire.RTCPKeyRequest), seconds*in.limits.KeyRequests, reportsWindow):
		in.fail(fmt.Errorf("the remote asked for key frames more than %d times in %v", seconds*in.limits.KeyRequests,
			reportsWindow))
	case in.reports.add(1, seconds*in.limits.RTCP, reportsWindow):
		in.fail(fmt.Errorf("the remote sent more than %d rtcp packets in %v", seconds*in.limits.RTCP, reportsWindow))
	}
	return in.feedback
}

// passed counts a datagram of RTCP that only Pion reads: what of it names no stream is counted nowhere else.
func (in *Inbound) passed() {
	const most = int(reportsWindow / time.Second)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.reports.add(1, most*in.limits.RTCP, reportsWindow) {
		in.fail(fmt.Errorf("the remote sent more than %d rtcp packets in %v", most*in.limits.RTCP, reportsWindow))
	}
}

// Silent says whether a remote that has reported on what it gets does so no longer.
func (in *Inbound) Silent() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.heard.IsZero() && time.Since(in.heard) > Silence
}

// Excuse counts silence from now on: there was nothing to report.
func (in *Inbound) Excuse() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.heard.IsZero() {
		in.heard = time.Now()
	}
}

// Channel takes a data channel that the remote has opened. Of what comes on it we have a use for the timeline alone,
// and we tell something over it now and then.
func (in *Inbound) Channel(d *webrtc.DataChannel) {
	defer in.contain("data channels")
	in.mu.Lock()
	defer in.mu.Unlock()
	in.channels++
	switch {
	case in.channels > in.limits.Channels:
		in.fail(fmt.Errorf("the remote opened more than %d data channels", in.limits.Channels))
	case len(d.Label()) > maxChannelLabel || len(d.Protocol()) > maxChannelLabel:
		in.fail(fmt.Errorf("the remote opened a data channel with a name of more than %d bytes", maxChannelLabel))
	default:
		d.OnOpen(func() { in.opened(d) })
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			if in.message(len(m.Data)) && m.IsString {
				in.lap(d, m.Data)
			}
		})
	}
}

// message counts one, and says whether it may be.
func (in *Inbound) message(size int) (ok bool) {
	defer in.contain("data channels")
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case size > in.limits.Message:
		in.fail(fmt.Errorf("the remote sent a message of %d bytes; the limit is %d", size, in.limits.Message))
	case in.messages.add(1, in.limits.Messages, time.Second), in.bytes.add(size, in.limits.MessageBytes, time.Second):
		in.fail(fmt.Errorf("the remote sent more than %d messages or %d bytes a second", in.limits.Messages,
			in.limits.MessageBytes))
	default:
		return true
	}
	return false
}

// Say tells the remote something, and reports whether it has a data channel for that. It does not wait.
func (in *Inbound) Say(n Notice) bool {
	in.mu.Lock()
	d := in.talk
	in.mu.Unlock()
	if d == nil || d.BufferedAmount() > unreadMost {
		return false
	}
	text, err := json.Marshal(n)
	return err == nil && d.SendText(string(text)) == nil
}

// opened takes the first data channel that is open for talking.
func (in *Inbound) opened(d *webrtc.DataChannel) {
	defer in.contain("data channels")
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.talk == nil {
		in.talk = d
		close(in.ready)
	}
}

// Notice is what we tell a viewer over its data channel.
type Notice struct {
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
	Code   string `json:"code,omitempty"` // the reason for programs
}

// contain takes a panic in what comes in. It has to be deferred itself, as the guard's.
func (in *Inbound) contain(where string) {
	if in == nil || in.guard == nil {
		return
	}
	if v := recover(); v != nil {
		in.guard.Caught(where, v)
	}
}

const unreadMost = 16 << 10 // bytes that a viewer has not taken yet, beyond which nothing more is told
