package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// outTrack is one track on its way to one remote. It sends packets that others share under a header of its own: sequence numbers without
// gaps, whatever frames were dropped before.
type outTrack struct {
	codec media.Codec

	mu      sync.Mutex // guards the fields below
	w       webrtc.TrackLocalWriter
	ssrc    uint32
	pt      uint8
	base    uint32 // RTP timestamp of PTS zero
	next    uint64 // extended sequence number of the next packet
	history *history
	scratch []byte

	rtxSSRC uint32 // 0: the remote takes retransmissions under their first number
	rtxPT   uint8
	rtxNext uint64 // extended sequence number of the next retransmission

	last         *media.Frame // the newest frame sent
	sent, octets uint32       // packets and payload bytes, for sender reports
	again        int64        // payload bytes that may be sent again
	lost         uint32       // packets, as the remote reports
}

// direct is the way around Pion: straight into the socket that ICE has chosen, encrypted by us.
type direct struct {
	cipher *srtpCipher
	out    *udpbatch.Sender
	to     netip.AddrPort
}

func newOutTrack(codec media.Codec) *outTrack {
	// RFC 3550 section 5.1: sequence numbers and timestamps start at random; RFC 3711 section 3.3.1: the former in the lower half.
	t := &outTrack{codec: codec, base: rand.Uint32(), next: uint64(rand.Uint32() >> 17)}
	if codec.Video() {
		t.history = &history{}
	}
	return t
}

// Bind implements webrtc.TrackLocal.
func (t *outTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	for _, c := range codecs {
		if _, name, _ := strings.Cut(c.MimeType, "/"); !strings.EqualFold(name, string(t.codec)) {
			continue
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.w, t.ssrc, t.pt = ctx.WriteStream(), uint32(ctx.SSRC()), uint8(c.PayloadType)
		t.rtxSSRC = 0
		apt := fmt.Sprintf("apt=%d", c.PayloadType)
		for _, again := range codecs {
			if strings.EqualFold(again.MimeType, webrtc.MimeTypeRTX) && again.SDPFmtpLine == apt {
				t.rtxSSRC, t.rtxPT = uint32(ctx.SSRCRetransmission()), uint8(again.PayloadType)
			}
		}
		return c, nil
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%s was not negotiated", t.codec)
}

// Unbind implements webrtc.TrackLocal.
func (t *outTrack) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w = nil
	return nil
}

// ID implements webrtc.TrackLocal.
func (t *outTrack) ID() string {
	if t.codec.Video() {
		return "video"
	}
	return "audio"
}

// RID implements webrtc.TrackLocal: no simulcast.
func (t *outTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: audio and video of one source are one stream, so that the remote plays them in step.
func (t *outTrack) StreamID() string { return "kvsagent" }

// Kind implements webrtc.TrackLocal.
func (t *outTrack) Kind() webrtc.RTPCodecType {
	if t.codec.Video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// part is a piece of a frame: its packets from..to. A large frame is sent in parts, with pauses between them.
type part struct {
	p        *packets
	from, to int
}

func whole(p *packets) part { return part{p, 0, len(p.payloads)} }

// sealPart encrypts packets of a frame into the arena.
func (t *outTrack) sealPart(x part, d *direct, a *arena) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return // the remote wants no such track
	}
	first := t.begin(x)
	for i := x.from; i < x.to; i++ {
		t.seal(x.p, i, first+uint64(i), d, a)
	}
}

// writePart sends packets of a frame through Pion.
func (t *outTrack) writePart(x part) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return nil
	}
	first := t.begin(x)
	for i := x.from; i < x.to; i++ {
		if err := t.write(x.p, i, first+uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

// begin gives the extended sequence number of a frame's first packet, and with its first part takes the numbers for all of it.
func (t *outTrack) begin(x part) (first uint64) {
	n := uint64(len(x.p.payloads))
	if x.from > 0 {
		return t.next - n
	}
	first = t.next
	t.next += n
	t.sent += uint32(n)
	t.octets += uint32(x.p.bytes)
	t.again = min(t.again+int64(x.p.bytes)/againShare, againMost)
	t.last = x.p.frame
	if t.history != nil {
		t.history.add(first, x.p)
	}
	return first
}

func (t *outTrack) seal(p *packets, i int, index uint64, d *direct, a *arena) {
	b := a.slot(rtpHeaderLen + p.payloads[i].size() + srtpTagLen)
	b = append(b, 0x80, t.pt)
	if t.marker(p, i) {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, uint16(index))
	b = binary.BigEndian.AppendUint32(b, t.timestamp(p))
	b = binary.BigEndian.AppendUint32(b, t.ssrc)
	b = p.payloads[i].appendTo(b)
	a.commit(d, d.cipher.seal(b, t.ssrc, index))
}

// sealRTX wraps a packet into one of the retransmission stream (RFC 4588 section 4): the first number stands before the payload.
func (t *outTrack) sealRTX(p *packets, i int, index uint64, d *direct, a *arena) {
	b := a.slot(rtpHeaderLen + 2 + p.payloads[i].size() + srtpTagLen)
	b = append(b, 0x80, t.rtxPT)
	if t.marker(p, i) {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, uint16(t.rtxNext))
	b = binary.BigEndian.AppendUint32(b, t.timestamp(p))
	b = binary.BigEndian.AppendUint32(b, t.rtxSSRC)
	b = binary.BigEndian.AppendUint16(b, uint16(index))
	b = p.payloads[i].appendTo(b)
	a.commit(d, d.cipher.seal(b, t.rtxSSRC, t.rtxNext))
	t.rtxNext++
}

func (t *outTrack) write(p *packets, i int, index uint64) error {
	t.scratch = p.payloads[i].appendTo(t.scratch[:0])
	_, err := t.w.WriteRTP(&rtp.Header{
		Version: 2, Marker: t.marker(p, i), PayloadType: t.pt, SequenceNumber: uint16(index), Timestamp: t.timestamp(p), SSRC: t.ssrc,
	}, t.scratch)
	return err
}

// marker is set on the last packet of a picture (RFC 6184 section 5.1).
func (t *outTrack) marker(p *packets, i int) bool { return t.codec.Video() && i == len(p.payloads)-1 }

func (t *outTrack) timestamp(p *packets) uint32 {
	return t.base + rtpTime(p.frame.PTS, t.codec.ClockRate())
}

// What may be sent again: a quarter of what is sent, so that a remote that asks for everything cannot make us an amplifier, and a burst of that.
const (
	againShare = 4
	againMost  = 512 << 10
)

// sendAgain sends packets that the remote has missed once more: in a stream of their own where that was negotiated, else as they were. d is nil for Pion's
// way, which knows only the latter.
func (t *outTrack) sendAgain(ssrc uint32, seqs []uint16, d *direct, a *arena) (sent int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil || t.ssrc != ssrc || t.history == nil {
		return 0
	}
	for _, seq := range seqs {
		p, i, index := t.history.find(seq)
		if p == nil {
			continue
		}
		size := int64(p.payloads[i].size())
		if t.again < size {
			return sent
		}
		t.again -= size
		sent++
		switch {
		case t.rtxSSRC != 0 && d != nil:
			t.sealRTX(p, i, index, d, a)
		case d != nil:
			t.seal(p, i, index, d, a)
		case t.write(p, i, index) != nil:
			return sent
		}
	}
	return sent
}

// report is the track's sender report (RFC 3550 section 6.4.1), or nil when nothing was sent. It ties the RTP clock to the wall clock at which the
// frames were taken, the same for audio and video, so that the remote plays them in step.
func (t *outTrack) report(now time.Time) *rtcp.SenderReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || t.w == nil {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: ntpTime(now), PacketCount: t.sent, OctetCount: t.octets,
		RTPTime: t.base + rtpTime(t.last.PTS+now.Sub(t.last.Captured), t.codec.ClockRate()),
	}
}

// ntpTime is a wall clock in NTP's 64 bits (RFC 3550 section 4).
func ntpTime(t time.Time) uint64 {
	const epoch = 2_208_988_800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

// rtpTime is pts in units of an RTP clock. It is exact at any age: a plain product overflows after a day.
func rtpTime(pts time.Duration, rate uint32) uint32 {
	seconds, rest := int64(pts/time.Second), int64(pts%time.Second)
	return uint32(seconds*int64(rate) + (rest*int64(rate)+int64(time.Second)/2)/int64(time.Second))
}

var _ webrtc.TrackLocal = (*outTrack)(nil)
