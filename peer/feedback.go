package peer

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// reportEvery is how often sender reports go out (RFC 3550 section 6.2 allows a fixed minimum; everybody uses about a second).
const reportEvery = time.Second

// feedback is what a remote tells us about what it gets from us (RTCP).
type feedback struct {
	mu       sync.Mutex // guards the fields below
	nacks    uint64     // packets asked for
	plis     uint64     // key frames asked for
	lost     uint32     // packets, by the newest receiver report of the video
	fraction float64    // of packets lost between the last two receiver reports
}

// listen reads the RTCP that a remote sends about one of our tracks, until the track ends.
func (f *feedback) listen(r *webrtc.RTPSender, s *sender) {
	for {
		packets, _, err := r.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			f.on(p, s)
		}
	}
}

func (f *feedback) on(p rtcp.Packet, s *sender) {
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		var seqs []uint16
		for _, pair := range p.Nacks {
			seqs = append(seqs, pair.PacketList()...)
		}
		f.add(func() { f.nacks += uint64(len(seqs)) })
		s.sendAgain(p.MediaSSRC, seqs)
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		f.add(func() { f.plis++ })
	case *rtcp.ReceiverReport:
		for _, r := range p.Reports {
			f.add(func() { f.lost, f.fraction = r.TotalLost, float64(r.FractionLost)/256 })
		}
	}
}

func (f *feedback) add(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// reports are the sender reports of all tracks that have sent something.
func (s *sender) reports(now time.Time) []rtcp.Packet {
	var out []rtcp.Packet
	for _, t := range s.tracks {
		if r := t.report(now); r != nil {
			out = append(out, r)
		}
	}
	return out
}
