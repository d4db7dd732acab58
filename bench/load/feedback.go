package load

import (
	"context"
	"slices"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

const (
	reportEvery = time.Second
	tickEvery   = 20 * time.Millisecond // for NACK
	twccEvery   = 100 * time.Millisecond
	askAfter    = 10 * time.Millisecond // a packet may only be late
	askAgain    = 100 * time.Millisecond
	askTimes    = 10
	ourSSRC     = 1
)

// feedback is what a viewer tells the sender. It is guarded by the viewer's lock.
type feedback struct {
	recorder *twcc.Recorder // nil without TWCC
	nacks    uint64         // packets asked for
	twccs    uint64         // packets of feedback sent

	rate    float64   // bit/s of the path that the feedback tells of; 0 is a wide one
	free    time.Time // when the last packet has passed that
	waiting []passing // in that path
}

// passing is a packet that comes out of the path at a time.
type passing struct {
	ssrc uint32
	n    uint16
	at   time.Time
}

// maxPassing bounds them: some ten seconds of packets.
const maxPassing = 8192

// Narrow makes the feedback tell of a path of so many bit/s, in which packets wait for each other; 0 is a wide one
// again. Packets come as before.
func (v *Viewer) Narrow(rate float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.feedback.rate = rate
}

// passed is when a packet would have come out of the path.
func (f *feedback) passed(size int, at time.Time) time.Time {
	if at.After(f.free) {
		f.free = at
	}
	if f.rate > 0 {
		f.free = f.free.Add(time.Duration(float64(size*8) / f.rate * float64(time.Second)))
	}
	return f.free
}

func (f *feedback) init(o Options) {
	if o.TWCC {
		f.recorder = twcc.NewRecorder(ourSSRC)
	}
}

// record notes a packet's transport-wide sequence number, if it has one.
func (f *feedback) record(packet []byte, ssrc uint32, at time.Time) {
	if f.recorder == nil {
		return
	}
	if n, ok := transportSequence(packet); ok {
		if len(f.waiting) < maxPassing {
			f.waiting = append(f.waiting, passing{ssrc, n, f.passed(len(packet), at)})
		}
	}
}

// arrive records the packets that are out of the path by now.
func (f *feedback) arrive(now time.Time) {
	n := 0
	for ; n < len(f.waiting) && !f.waiting[n].at.After(now); n++ {
		f.recorder.Record(f.waiting[n].ssrc, f.waiting[n].n, f.waiting[n].at.UnixMicro())
	}
	f.waiting = append(f.waiting[:0], f.waiting[n:]...)
}

// transportSequence reads the one-byte header extension twccID (RFC 8285 section 4.2).
func transportSequence(b []byte) (uint16, bool) {
	at := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 == 0 || len(b) < at+4 || b[at] != 0xbe || b[at+1] != 0xde {
		return 0, false
	}
	end := at + 4 + 4*(int(b[at+2])<<8|int(b[at+3]))
	for at += 4; at < min(end, len(b)); {
		id, size := b[at]>>4, int(b[at]&0x0f)+1
		if b[at] == 0 {
			at++
			continue
		}
		if id == twccID && size == 2 && at+2 < len(b) {
			return uint16(b[at+1])<<8 | uint16(b[at+2]), true
		}
		at += 1 + size
	}
	return 0, false
}

// sendFeedback speaks until ctx is done.
func (v *Viewer) sendFeedback(ctx context.Context) {
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	nack, congestion, picture := ticks(tickEvery, v.o.Loss > 0), ticks(twccEvery, v.o.TWCC), ticks(v.o.PLI, v.o.PLI > 0)
	defer nack.Stop()
	defer congestion.Stop()
	defer picture.Stop()
	for {
		var out []rtcp.Packet
		select {
		case <-ctx.Done():
			return
		case <-report.C:
			out = v.receiverReport(time.Now())
		case <-nack.C:
			out = v.nack(time.Now())
		case <-congestion.C:
			out = v.congestion()
		case <-picture.C:
			out = v.pli()
		}
		if len(out) > 0 {
			_ = v.pc.WriteRTCP(out) // the connection may be closing; what it has to say of that, it says to its owner
		}
	}
}

// ticks is a ticker that may be off.
func ticks(every time.Duration, on bool) *time.Ticker {
	if on {
		return time.NewTicker(every)
	}
	t := time.NewTicker(time.Hour)
	t.Stop()
	return t
}

// receiverReport is RFC 3550 section 6.4.2.
func (v *Viewer) receiverReport(now time.Time) []rtcp.Packet {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &rtcp.ReceiverReport{SSRC: ourSSRC}
	for ssrc, s := range v.streams {
		expected, got := uint64(s.highest-s.reportedHighest), s.unique-s.reportedUnique
		if s.reportedHighest == 0 {
			expected = got
		}
		s.reportedHighest, s.reportedUnique = s.highest, s.unique
		b := rtcp.ReceptionReport{
			SSRC: ssrc, LastSequenceNumber: uint32(s.highest), TotalLost: uint32(len(s.missing)),
			Jitter: uint32(s.jitter), LastSenderReport: s.report,
		}
		if expected > got {
			b.FractionLost = uint8(min(255, (expected-got)*256/expected))
		}
		if s.report != 0 {
			b.Delay = uint32(now.Sub(s.reportAt).Seconds() * 65536)
		}
		r.Reports = append(r.Reports, b)
	}
	return []rtcp.Packet{r}
}

func (v *Viewer) nack(now time.Time) []rtcp.Packet {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []rtcp.Packet
	for ssrc, s := range v.streams {
		if s.rate != videoRate {
			continue
		}
		var numbers []uint16
		for n, m := range s.missing {
			if m.times < askTimes && now.Sub(m.since) > askAfter && now.Sub(m.asked) > askAgain {
				m.asked = now
				m.times++
				numbers = append(numbers, uint16(n))
			}
		}
		if len(numbers) > 0 {
			slices.Sort(numbers)
			v.feedback.nacks += uint64(len(numbers))
			out = append(out, &rtcp.TransportLayerNack{SenderSSRC: ourSSRC, MediaSSRC: ssrc,
				Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)})
		}
	}
	return out
}

func (v *Viewer) congestion() []rtcp.Packet {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.feedback.arrive(time.Now())
	out := v.feedback.recorder.BuildFeedbackPacket()
	v.feedback.twccs += uint64(len(out))
	return out
}

func (v *Viewer) pli() (out []rtcp.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for ssrc, s := range v.streams {
		if s.rate == videoRate {
			out = append(out, &rtcp.PictureLossIndication{SenderSSRC: ourSSRC, MediaSSRC: ssrc})
		}
	}
	return out
}

// readReports keeps the sender's last report of each stream.
func (v *Viewer) readReports(r *webrtc.RTPReceiver) {
	for {
		packets, _, err := r.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				v.onSenderReport(sr)
			}
		}
	}
}

func (v *Viewer) onSenderReport(sr *rtcp.SenderReport) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.streams[sr.SSRC]; s != nil {
		s.report, s.reportAt = uint32(sr.NTPTime>>16), time.Now()
	}
}
