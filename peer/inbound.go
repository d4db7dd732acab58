package peer

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pion/transport/v5/packetio"
	"github.com/pion/webrtc/v4"
)

// What a remote may send over an established connection. Whoever exceeds it loses the connection, which costs us nothing.
const (
	maxStreams      = 8               // RTP streams (SSRCs)
	maxRTCPStreams  = 32              // SSRCs that RTCP speaks of: ours, theirs, retransmissions
	maxUnasked      = 256_000 / 8     // RTP bytes a second, when we receive nothing
	unaskedWindow   = 5 * time.Second // over which that is measured
	maxReports      = 1000            // RTCP packets within reportsWindow
	reportsWindow   = 10 * time.Second
	silence         = 30 * time.Second // without RTCP, after which a remote that sent some is gone
	maxChannels     = 4                // data channels: clients open one by habit, and nobody needs more
	maxChannelLabel = 255              // bytes of label, and of protocol
	maxMessage      = 16 << 10         // bytes of a message
	maxMessages     = 100              // messages a second
	maxMessageBytes = 256 << 10        // bytes a second
	rtpBufferBytes  = 1_000_000
	rtcpBufferBytes = 100_000
)

// inbound counts what comes in on one connection after decryption, and says once when it is too much.
type inbound struct {
	receive bool // we asked for media
	fail    func(error)

	mu       sync.Mutex // guards the fields below
	rtp      int        // streams
	rtcp     int
	rtpRate  rate
	reports  rate
	heard    time.Time // when RTCP came last; zero is never
	channels int
	messages rate
	bytes    rate
	feedback func(fci []byte) // takes transport-wide feedback; nil when nothing is sent
}

// watch lets f have the transport-wide feedback that comes, whatever stream it names: browsers name the one whose packet came last, retransmissions' too.
func (in *inbound) watch(f func(fci []byte)) {
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

// buffer is the webrtc.SettingEngine's hook: it is called for each new stream.
func (in *inbound) buffer(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
	b := packetio.NewBuffer()
	in.mu.Lock()
	defer in.mu.Unlock()
	if kind == packetio.RTCPBufferPacket {
		b.SetLimitSize(rtcpBufferBytes)
		if in.rtcp++; in.rtcp > maxRTCPStreams {
			in.refuse(b, "the remote sent RTCP for more than %d streams", maxRTCPStreams)
		}
		return rtcpBuffer{plainBuffer{b}, in}
	}
	b.SetLimitSize(rtpBufferBytes)
	if in.rtp++; in.rtp > maxStreams {
		in.refuse(b, "the remote sent more than %d streams", maxStreams)
	}
	return rtpBuffer{plainBuffer{b}, in}
}

// refuse makes a stream hold nothing.
func (in *inbound) refuse(b *packetio.Buffer, format string, limit int) {
	_ = b.Close()
	in.fail(fmt.Errorf(format, limit))
}

func (in *inbound) unasked(n int) {
	if in.receive {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.rtpRate.add(n, maxUnasked*int(unaskedWindow/time.Second), unaskedWindow) {
		in.fail(fmt.Errorf("the remote sends media that nobody asked for, more than %d bit/s", maxUnasked*8))
	}
}

// plainBuffer is a packetio.Buffer as the hook wants it.
type plainBuffer struct{ *packetio.Buffer }

func (b plainBuffer) Read(p []byte) (int, error) {
	n, _, err := b.Buffer.Read(p, nil)
	return n, err
}

func (b plainBuffer) Write(p []byte) (int, error) { return b.Buffer.Write(p, nil) }

// rtpBuffer counts what is written to it.
type rtpBuffer struct {
	plainBuffer
	in *inbound
}

func (b rtpBuffer) Write(p []byte) (int, error) {
	b.in.unasked(len(p))
	return b.plainBuffer.Write(p)
}

// rtcpBuffer counts what is written to it.
type rtcpBuffer struct {
	plainBuffer
	in *inbound
}

func (b rtcpBuffer) Write(p []byte) (int, error) {
	if feedback := b.in.report(); feedback != nil {
		eachFeedback(p, feedback)
	}
	return b.plainBuffer.Write(p)
}

// report notes that RTCP has come, and gives who wants its feedback.
func (in *inbound) report() (feedback func(fci []byte)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.heard = time.Now()
	if in.reports.add(1, maxReports, reportsWindow) {
		in.fail(fmt.Errorf("the remote sent more than %d rtcp packets in %v", maxReports, reportsWindow))
	}
	return in.feedback
}

// silent says whether a remote that has reported on what it gets does so no longer.
func (in *inbound) silent() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.heard.IsZero() && time.Since(in.heard) > silence
}

// excuse counts silence from now on: there was nothing to report.
func (in *inbound) excuse() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.heard.IsZero() {
		in.heard = time.Now()
	}
}

// channel takes a data channel that the remote has opened. We have no use for what comes on it.
func (in *inbound) channel(d *webrtc.DataChannel) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.channels++
	switch {
	case in.channels > maxChannels:
		in.fail(fmt.Errorf("the remote opened more than %d data channels", maxChannels))
	case len(d.Label()) > maxChannelLabel || len(d.Protocol()) > maxChannelLabel:
		in.fail(fmt.Errorf("the remote opened a data channel with a name of more than %d bytes", maxChannelLabel))
	default:
		d.OnMessage(func(m webrtc.DataChannelMessage) { in.message(len(m.Data)) })
	}
}

func (in *inbound) message(size int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case size > maxMessage:
		in.fail(fmt.Errorf("the remote sent a message of %d bytes; the limit is %d", size, maxMessage))
	case in.messages.add(1, maxMessages, time.Second), in.bytes.add(size, maxMessageBytes, time.Second):
		in.fail(fmt.Errorf("the remote sent more than %d messages or %d bytes a second", maxMessages, maxMessageBytes))
	}
}
