package receive

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// Receiver turns what a remote sends into frames.
type Receiver struct {
	sink    media.Sink // may be nil
	onFirst func()
	epoch   time.Time // PTS zero

	mu     sync.Mutex // guards the fields below, and the order of what sink gets
	tracks []media.Track
	told   bool // the sink knows of tracks
	meters map[media.Codec]*media.Meter
	counts map[media.Codec]*packetCount
	stray  error // why the first media was not taken that belongs nowhere; nil: none
}

// packetCount is packets as they came.
type packetCount struct{ packets, lost uint64 }

// NewReceiver hands the frames of all tracks to a sink; nil only counts them. epoch is time zero of their PTS. onFrame
// is called at the first key frame.
func NewReceiver(sink media.Sink, epoch time.Time, onFirst func()) *Receiver {
	return &Receiver{sink: sink, onFirst: onFirst, epoch: epoch, meters: map[media.Codec]*media.Meter{},
		counts: map[media.Codec]*packetCount{}}
}

// Expect tells which tracks are about to come, so that the sink learns of all of them before the first frame.
func (r *Receiver) Expect(codecs []media.Codec) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range codecs {
		r.add(c)
	}
}

// add makes room for a codec, unless there is.
func (r *Receiver) add(c media.Codec) {
	if r.counts[c] != nil {
		return
	}
	r.counts[c], r.meters[c] = &packetCount{}, &media.Meter{}
	t := media.Track{Codec: c}
	switch c {
	case media.Opus:
		t.Channels = 2
	case media.PCMU, media.PCMA:
		t.Channels = 1
	}
	r.tracks = append(r.tracks, t)
}

// pliEvery is how often a key frame is asked for at the most.
const pliEvery = time.Second

// startLasts is how long the first key frame may take to be whole before it is asked for. Masters begin with one, and
// one that is asked earlier sends it twice.
const startLasts = 200 * time.Millisecond

// Run reads one track until it ends. askKey asks the remote for a key frame. The remote may turn to another codec from
// one packet to the next (RFC 3264 section 5.1: all that were negotiated have to be understood), and that is another
// track for the sink.
func (r *Receiver) Run(track *webrtc.TrackRemote, askKey func(ssrc uint32)) {
	p, _, err := track.ReadRTP() // by which the track knows its codec
	if err != nil {
		return
	}
	codec, pt := CodecOf(track.Codec()), track.PayloadType()
	count := r.open(codec)
	a := newAssembler(codec, track.Codec().ClockRate)
	if a == nil {
		return
	}
	asked := time.Now().Add(startLasts - pliEvery)
	for ; err == nil; p, _, err = track.ReadRTP() {
		if now := track.PayloadType(); now != pt {
			pt = now
			if next := CodecOf(track.Codec()); next != codec {
				if a = r.turn(a, next, track.Codec().ClockRate); a == nil {
					return
				}
				codec, count, asked = next, r.open(next), time.Now().Add(startLasts-pliEvery)
			}
		}
		r.mu.Lock()
		count.packets++
		r.mu.Unlock()
		a.push(p, time.Since(r.epoch))
		for f := a.pop(); f != nil; f = a.pop() {
			r.deliver(f, a)
		}
		if a.wantKey && codec.Video() && time.Since(asked) > pliEvery {
			asked = time.Now()
			askKey(uint32(track.SSRC()))
		}
		r.mu.Lock()
		count.lost = a.lost
		r.mu.Unlock()
	}
}

func (r *Receiver) open(codec media.Codec) *packetCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(codec)
	return r.counts[codec]
}

// turn gives the assembler of the codec that comes in place of another's, nil when we do not know it. The sink learns
// of it with its first frame.
func (r *Receiver) turn(before *assembler, codec media.Codec, rate uint32) *assembler {
	before.samples.flush()
	for f := before.pop(); f != nil; f = before.pop() {
		r.deliver(f, before)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = slices.DeleteFunc(r.tracks, func(t media.Track) bool { return t.Codec == before.codec })
	delete(r.counts, before.codec)
	delete(r.meters, before.codec)
	r.told = false
	a := newAssembler(codec, rate)
	if a != nil && a.rate == before.rate { // one clock: the time line goes on
		a.started, a.offset, a.last, a.ticks = before.started, before.offset, before.last, before.ticks
	}
	return a
}

func (r *Receiver) deliver(f *media.Frame, a *assembler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(f.Codec) // which another stream may have dropped
	m := r.meters[f.Codec]
	first := f.Key && m.KeyFrames == 0
	m.Add(time.Now(), f.Key, f.Size())
	changed := r.learn(f) || !r.told
	if r.sink != nil {
		if changed {
			r.told = true
			r.sink.Tracks(slices.Clone(r.tracks))
		}
		r.sink.Write(f)
	}
	if first && r.onFirst != nil {
		r.onFirst()
	}
}

// learn reads from a key frame what it says of its track. It reports whether there was something new.
func (r *Receiver) learn(f *media.Frame) bool {
	if !f.Key {
		return false
	}
	i := slices.IndexFunc(r.tracks, func(t media.Track) bool { return t.Codec == f.Codec })
	return learnVideo(&r.tracks[i], f)
}

// assembler puts the packets of one track back together.
type assembler struct {
	codec   media.Codec
	rate    uint32
	samples *samples
	wantKey bool
	sets    bool // H.264 parameter sets have come
	lost    uint64

	started bool
	offset  time.Duration // PTS of the first packet
	last    uint32        // RTP timestamp
	ticks   int64         // since the first packet
}

func newAssembler(codec media.Codec, rate uint32) *assembler {
	var parser func() rtp.Depacketizer
	switch codec {
	case media.H264:
		parser = func() rtp.Depacketizer { return &codecs.H264Packet{IsAVC: true} }
	case media.VP8:
		parser = func() rtp.Depacketizer { return &codecs.VP8Packet{} }
	case media.H265:
		parser = func() rtp.Depacketizer { return &h265Units{} }
	case media.VP9:
		parser = func() rtp.Depacketizer { return &codecs.VP9Packet{} }
	case media.AV1:
		parser = func() rtp.Depacketizer { return &codecs.AV1Depacketizer{} }
	case media.Opus:
		parser = func() rtp.Depacketizer { return &codecs.OpusPacket{} }
	case media.PCMU, media.PCMA:
		parser = func() rtp.Depacketizer { return plain{} }
	default:
		return nil
	}
	return &assembler{codec: codec, rate: rate, wantKey: codec.Video(), samples: newSamples(parser, rate)}
}

// plain is the depacketizer of codecs whose frame is the payload.
type plain struct{}

func (plain) Unmarshal(p []byte) ([]byte, error) { return p, nil }
func (plain) IsPartitionHead([]byte) bool        { return true }
func (plain) IsPartitionTail(bool, []byte) bool  { return true }

// h265Units ends an access unit where the marker says so (RFC 7798 section 4.1): Pion's ends one after each unit that
// came in fragments.
type h265Units struct{ codecs.H265Depacketizer }

func (*h265Units) IsPartitionTail(marker bool, _ []byte) bool { return marker }

func (a *assembler) push(p *rtp.Packet, now time.Duration) {
	if !a.started {
		a.started, a.offset, a.last = true, now, p.Timestamp
	}
	a.samples.push(p)
}

// pop gives the next whole frame, or nil. After a loss it gives no picture before the next key frame.
func (a *assembler) pop() *media.Frame {
	for {
		s, ok := a.samples.pop()
		if !ok {
			return nil
		}
		a.lost += s.lost
		if s.gap && a.codec.Video() {
			a.wantKey = true
		}
		a.ticks += int64(int32(s.stamp - a.last))
		a.last = s.stamp
		f := &media.Frame{Codec: a.codec, Captured: time.Now(), PTS: max(0, a.offset+ticksToTime(a.ticks, a.rate))}
		f.Data, f.Key = split(a.codec, s.data)
		if len(f.Data) == 0 {
			continue
		}
		a.sets = a.sets || a.codec != media.H264 || hasSets(f.Data)
		f.Key = f.Key && a.sets
		if f.Key {
			a.wantKey = false
		}
		if a.wantKey {
			continue
		}
		return f
	}
}

func ticksToTime(ticks int64, rate uint32) time.Duration {
	r := int64(rate)
	return time.Duration(ticks/r)*time.Second + time.Duration(ticks%r)*time.Second/time.Duration(r)
}

// AskKeyFrame asks the remote for a key frame (PLI, RFC 4585 section 6.3.1).
func AskKeyFrame(pc *webrtc.PeerConnection) func(uint32) {
	return func(ssrc uint32) { _ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}) }
}

// Stats is one track that is received.
type Stats struct {
	media.Track
	Packets, Lost            uint64
	Frames, KeyFrames, Bytes uint64
	FPS, Bitrate             float64
}

// Strayed notes media that belongs to no section, and reports whether it is the first.
func (r *Receiver) Strayed(why error) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stray != nil {
		return false
	}
	r.stray = why
	return true
}

// Stray is why media was not taken; "" when none came that belongs nowhere.
func (r *Receiver) Stray() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stray == nil {
		return ""
	}
	return r.stray.Error()
}

// Report gives the tracks that there are.
func (r *Receiver) Report() []Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Stats
	for _, track := range r.tracks {
		n, m := r.counts[track.Codec], r.meters[track.Codec]
		s := Stats{Track: track, Packets: n.packets, Lost: n.lost, Frames: m.Frames, KeyFrames: m.KeyFrames,
			Bytes: m.Bytes}
		s.FPS, s.Bitrate = m.Rates(time.Now())
		out = append(out, s)
	}
	return out
}

// CodecOf is the codec of a payload type.
func CodecOf(c webrtc.RTPCodecParameters) media.Codec {
	_, name, _ := strings.Cut(c.MimeType, "/")
	return sdp.Canonical(name)
}
