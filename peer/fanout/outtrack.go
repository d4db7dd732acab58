package fanout

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/bwe"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Track is one track on its way to one remote. It sends packets that others share under a header of its own: sequence
// numbers without gaps, whatever frames were dropped before.
type Track struct {
	Codec media.Codec

	mu             sync.Mutex // guards the fields below
	w              webrtc.TrackLocalWriter
	ssrc           uint32
	pt             uint8
	base           uint32 // RTP timestamp of PTS zero
	next           uint64 // extended sequence number of the next packet
	level          Level  // of the last frame
	obsoleteBefore uint64 // packets before this one belong to pictures that were given up
	stamp          uint32 // RTP timestamp of the frame that is being sent
	history        *history

	twcc uint8 // id of the header extension with the transport-wide sequence number; 0: not negotiated
	path bwe.Path

	rtxSSRC uint32 // 0: the remote takes retransmissions under their first number
	rtxPT   uint8
	rtxNext uint64 // extended sequence number of the next retransmission

	aside         []asidePacket // for Pion to encrypt, on the direct way
	pion, rtxPion uint64        // behind the newest packet that Pion has encrypted, of each stream; 0: none

	last         *media.Frame  // the newest frame sent
	lastPTS      time.Duration // under which it was sent
	sent, octets uint32        // packets and payload bytes, for sender reports
	rtxBudget    int64         // payload bytes that may be sent again
	nackBudget   int           // sequence numbers that may be asked for
	lost         uint32        // packets, as the remote reports
	stats        rtcpStats     // what else it reports
	firstAt      time.Time     // when the first packet was sent
}

// NewTrack makes a track that nobody has agreed to yet.
func NewTrack(codec media.Codec) *Track {
	// RFC 3550 section 5.1: sequence numbers and timestamps start at random; RFC 3711 section 3.3.1: the former in the
	// lower half.
	t := &Track{Codec: codec, base: rand.Uint32(), next: uint64(rand.Uint32() >> 17), rtxBudget: rtxBudgetFirst,
		nackBudget: nackBudgetFirst}
	if codec.Video() {
		t.history = &history{}
	}
	return t
}

// Bind implements webrtc.TrackLocal.
func (t *Track) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	for _, c := range codecs {
		if _, name, _ := strings.Cut(c.MimeType, "/"); !strings.EqualFold(name, string(t.Codec)) {
			continue
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.w, t.ssrc, t.pt = ctx.WriteStream(), uint32(ctx.SSRC()), uint8(c.PayloadType)
		t.rtxSSRC, t.twcc = 0, 0
		for _, e := range ctx.HeaderExtensions() {
			if e.URI == sdp.TransportCCURI && e.ID < 15 { // RFC 8285 section 4.2: what a one-byte header can name
				t.twcc = uint8(e.ID)
			}
		}
		apt := fmt.Sprintf("apt=%d", c.PayloadType)
		for _, again := range codecs {
			if strings.EqualFold(again.MimeType, webrtc.MimeTypeRTX) && again.SDPFmtpLine == apt {
				t.rtxSSRC, t.rtxPT = uint32(ctx.SSRCRetransmission()), uint8(again.PayloadType)
			}
		}
		if t.rtxSSRC == 0 {
			// A packet that is sent again under its first number must be the same to the last bit: AES-GCM must not see
			// another header under one nonce.
			t.twcc = 0
		}
		return c, nil
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%s was not negotiated", t.Codec)
}

// Unbind implements webrtc.TrackLocal.
func (t *Track) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w = nil
	return nil
}

// ID implements webrtc.TrackLocal.
func (t *Track) ID() string {
	if t.Codec.Video() {
		return "video"
	}
	return "audio"
}

// RID implements webrtc.TrackLocal: no simulcast.
func (t *Track) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: audio and video of one source are one stream, so that the remote plays them in
// step.
func (t *Track) StreamID() string { return "kvsagent" }

// Kind implements webrtc.TrackLocal.
func (t *Track) Kind() webrtc.RTPCodecType {
	if t.Codec.Video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// part is a piece of a frame: its packets from..to. A large frame is sent in parts, with pauses between them. pts is
// the time under which it leaves.
type part struct {
	p        *packets
	pts      time.Duration
	from, to int
}

func whole(p *packets) part { return part{p, p.frame.PTS, 0, len(p.payloads)} }

// sealPart encrypts packets of a frame into the arena. It reports whether it has set one of them aside.
func (t *Track) sealPart(x part, now time.Time, d *wire.Direct, a *wire.Arena) (aside bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return false // the remote wants no such track
	}
	first := t.begin(x)
	f := &sentFrame{first, t.stamp, x.p}
	for i := x.from; i < x.to; i++ {
		if index := first + uint64(i); isForPion(index) {
			t.setAside(index, t.header(f, i, now), x.p.payloads[i].appendTo(nil))
			aside = true
			continue
		}
		t.seal(f, i, now, d, a)
	}
	return aside
}

// writePart sends packets of a frame through Pion. That may block, on a relay that is reached by TCP, so it is done
// without the lock.
func (t *Track) writePart(x part) error {
	w, headers := t.headers(x)
	buf := make([]byte, 0, wire.MaxPayload)
	for i := range headers {
		if _, err := w.WriteRTP(&headers[i], x.p.payloads[x.from+i].appendTo(buf)); err != nil {
			return err
		}
	}
	return nil
}

// headers are those of a part of a frame, and who writes them; none when the remote wants no such track.
func (t *Track) headers(x part) (w webrtc.TrackLocalWriter, headers []rtp.Header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return nil, nil
	}
	first := t.begin(x) // which sets the stamp
	f := sentFrame{first, t.stamp, x.p}
	now := time.Now()
	headers = make([]rtp.Header, 0, wire.PartPackets)
	for i := x.from; i < x.to; i++ {
		headers = append(headers, t.header(&f, i, now))
	}
	t.pion = first + uint64(x.to)
	return t.w, headers
}

// begin gives the extended sequence number of a frame's first packet, and with its first part takes the numbers for all
// of it.
func (t *Track) begin(x part) (first uint64) {
	n := uint64(len(x.p.payloads))
	if x.from > 0 {
		return t.next - n
	}
	first = t.next
	if x.p.level != t.level {
		t.level, t.obsoleteBefore = x.p.level, first
	}
	if t.firstAt.IsZero() {
		t.firstAt = time.Now()
	}
	t.next += n
	t.sent += uint32(n)
	t.octets += uint32(x.p.bytes)
	t.rtxBudget = min(t.rtxBudget+int64(x.p.bytes)/rtxShare, rtxBudgetMost)
	t.nackBudget = min(t.nackBudget+nackShare*int(n), nackBudgetMost)
	if ahead := t.audioClock(x.pts); ahead != 0 {
		t.base += ahead
	}
	t.last, t.lastPTS = x.p.frame, x.pts
	t.stamp = t.base + rtpTime(x.pts, t.Codec.ClockRate())
	if t.history != nil {
		t.history.add(sentFrame{first, t.stamp, x.p})
	}
	return first
}

// seal encrypts packet i of a frame.
func (t *Track) seal(f *sentFrame, i int, now time.Time, d *wire.Direct, a *wire.Arena) {
	body := &f.p.payloads[i]
	b := a.Slot(wire.HeaderMost + body.size() + wire.SRTPTagLen)
	index := f.first + uint64(i)
	b = t.appendHeader(b, f, i, t.pt, uint16(index), t.ssrc, body.size(), now)
	n := len(b)
	b = body.appendTo(b)
	a.Commit(d, d.Cipher.Seal(b, n, t.ssrc, index))
}

// sealRTX wraps a packet into one of the retransmission stream (RFC 4588 section 4): the first number stands before the
// payload.
func (t *Track) sealRTX(f *sentFrame, i int, now time.Time, d *wire.Direct, a *wire.Arena) {
	body := &f.p.payloads[i]
	b := a.Slot(wire.HeaderMost + 2 + body.size() + wire.SRTPTagLen)
	b = t.appendHeader(b, f, i, t.rtxPT, uint16(t.rtxNext), t.rtxSSRC, 2+body.size(), now)
	n := len(b)
	b = binary.BigEndian.AppendUint16(b, uint16(f.first+uint64(i)))
	b = body.appendTo(b)
	a.Commit(d, d.Cipher.Seal(b, n, t.rtxSSRC, t.rtxNext))
	t.rtxNext++
}

// appendHeader writes the header of packet i of a frame, and notes that it leaves now.
func (t *Track) appendHeader(b []byte, f *sentFrame, i int, pt uint8, seq uint16, ssrc uint32, size int,
	now time.Time) []byte {
	if t.marker(f.p, i) {
		pt |= 0x80
	}
	first := byte(0x80)
	if t.twcc != 0 {
		first |= 0x10
	}
	b = append(b, first, pt)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, f.stamp)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	if t.twcc != 0 {
		wide := t.path.Send(now, wire.HeaderMost+size+wire.SRTPTagLen)
		b = append(b, 0xbe, 0xde, 0, 1, t.twcc<<4|1, byte(wide>>8), byte(wide), 0)
	}
	return b
}

// header is the same for Pion.
func (t *Track) header(f *sentFrame, i int, now time.Time) rtp.Header {
	h := rtp.Header{
		Version: 2, Marker: t.marker(f.p, i), PayloadType: t.pt, SequenceNumber: uint16(f.first + uint64(i)),
		Timestamp: f.stamp, SSRC: t.ssrc,
	}
	t.number(&h, f.p.payloads[i].size(), now)
	return h
}

// headerRTX is the header of packet i of a frame in the retransmission stream, for Pion.
func (t *Track) headerRTX(f *sentFrame, i int, now time.Time) rtp.Header {
	h := rtp.Header{
		Version: 2, Marker: t.marker(f.p, i), PayloadType: t.rtxPT, SequenceNumber: uint16(t.rtxNext),
		Timestamp: f.stamp, SSRC: t.rtxSSRC,
	}
	t.rtxNext++
	t.number(&h, 2+f.p.payloads[i].size(), now)
	return h
}

func (t *Track) number(h *rtp.Header, size int, now time.Time) {
	if t.twcc != 0 {
		wide := t.path.Send(now, wire.HeaderMost+size+wire.SRTPTagLen)
		// Which cannot fail: the id is one of a one-byte header.
		_ = h.SetExtension(t.twcc, []byte{byte(wide >> 8), byte(wide)})
	}
}

// marker is set on the last packet of a picture (RFC 6184 section 5.1).
func (t *Track) marker(p *packets, i int) bool { return t.Codec.Video() && i == len(p.payloads)-1 }

// giveUp makes what was sent so far obsoleteBefore: pictures that followed it were left out.
func (t *Track) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.obsoleteBefore = t.next
}

// zero is when the newest frame was taken, and the wall clock at PTS zero by that; zero times when nothing was sent.
func (t *Track) zero() (taken, zero time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return taken, zero
	}
	return t.last.Captured, t.last.Captured.Add(-t.lastPTS)
}

// report is the track's sender report (RFC 3550 section 6.4.1), or nil when nothing was sent. It ties the RTP clock to
// the wall clock, by when that stood at PTS zero.
func (t *Track) report(now, zero time.Time) *rtcp.SenderReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || t.w == nil {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: ntpTime(now), PacketCount: t.sent, OctetCount: t.octets,
		RTPTime: t.base + rtpTime(now.Sub(zero), t.Codec.ClockRate()),
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

var _ webrtc.TrackLocal = (*Track)(nil)
