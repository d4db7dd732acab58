package fanout

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
)

// onRTCP has the sender take one packet, as if it had come by itself.
func (s *Sender) onRTCP(p rtcp.Packet, again *wire.Arena) {
	b, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	s.OnReports(b, again)
}

// A datagram's feedback tells of no more packets than are remembered, however many messages it is made of: each of 20
// bytes could name thousands.
func TestFeedbackIsBoundedByTheDatagram(t *testing.T) {
	message := func(packets uint16) []byte {
		b := append([]byte{0x8f, 205, 0, 4, 0, 0, 0, 5, 0, 0, 0x12, 0x67, 0, 0}, 0, 0, 0, 0, 0, 1)
		binary.BigEndian.PutUint16(b[14:], packets)
		return b
	}
	for _, tt := range []struct {
		name     string
		compound []byte
		want     int
	}{
		{"what browsers send", slices.Concat(message(900), message(900)), 2},
		{"all that is remembered, twice", slices.Concat(message(2048), message(2048)), 1},
		{"65,535 at once", message(65_535), 0},
		{"a large datagram of small messages", bytes.Repeat(message(100), 60), 20},
		{"cut short", message(1)[:16], 0},
	} {
		got := 0
		wire.EachFeedback(tt.compound, func([]byte) { got++ })
		if got != tt.want {
			t.Errorf("%s: %d messages were read, want %d", tt.name, got, tt.want)
		}
	}
}

// A report on our picture counts once in a datagram, and what it tells is bounded by that.
func TestReceiverReportCountsOnce(t *testing.T) {
	estimate := func(blocks int) float64 {
		s := NewSender(nil, []*Track{NewTrack(media.H264)}, nil)
		s.video.ssrc = 4711
		now := time.Now()
		s.meters[media.H264].Add(now.Add(-time.Second), true, 500_000)
		s.video.onLoss(now, 0, 4e6)
		report := &rtcp.ReceiverReport{SSRC: 5,
			Reports: slices.Repeat([]rtcp.ReceptionReport{{SSRC: 4711, FractionLost: 128, TotalLost: 1 << 20}}, blocks)}
		s.onRTCP(report, nil)
		if got := s.video.lost; got != 1<<20 {
			t.Errorf("%d blocks: %d packets lost, want %d", blocks, got, 1<<20)
		}
		return s.video.pathState().Estimate
	}
	if one, many := estimate(1), estimate(31); one != many || one == 0 {
		t.Errorf("the estimate is %.0f bit/s after one block, and %.0f after 31 of the same", one, many)
	}
}

// What we read where it lies is what Pion's parser reads.
func TestReportsReadInPlace(t *testing.T) {
	blocks := []rtcp.ReceptionReport{{SSRC: 1, FractionLost: 255, TotalLost: 1<<24 - 1, LastSequenceNumber: 7,
		Jitter: 1<<32 - 1, LastSenderReport: 0x01020304, Delay: 0xfffefdfc}, {SSRC: 2}}
	raw, err := (&rtcp.ReceiverReport{SSRC: 5, Reports: blocks}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var got []rtcp.ReceptionReport
	for r := range wire.ReportBlocks(raw) {
		got = append(got, rtcp.ReceptionReport{
			SSRC: r.SSRC(), FractionLost: uint8(r.Lost() * 256), TotalLost: r.TotalLost(),
			LastSequenceNumber: binary.BigEndian.Uint32(r[8:]),
			Jitter:             r.Jitter(), LastSenderReport: r.LastSR(), Delay: r.Delay(),
		})
	}
	if !slices.Equal(got, blocks) {
		t.Errorf("blocks %+v, want %+v", got, blocks)
	}
	for n := 4; n < len(raw); n += 4 {
		have := 0
		for range wire.ReportBlocks(raw[:n]) {
			have++
		}
		if want := max(0, n-8) / 24; have != want {
			t.Errorf("%d bytes of a report have %d blocks, want %d", n, have, want)
		}
	}
	for _, rate := range []float32{1, 262_143, 700_000, 5e6, 1e12} {
		raw, err := (&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: rate, SSRCs: make([]uint32, 200)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := wire.REMBRate(raw); !ok || got > float64(rate) || got < float64(rate)*0.9999 {
			t.Errorf("REMB of %.0f bit/s is read as %.0f, %v", rate, got, ok)
		}
		if _, ok := wire.REMBRate(raw[:16]); ok {
			t.Error("half a REMB is read")
		}
	}
}

// TestSoundOfItsOwnSenderKeepsStep: after a change of codec sound and pictures have a sender each. Their reports still
// tie both RTP clocks to one wall clock at PTS zero, or the remote plays them apart by how late each was taken.
func TestSoundOfItsOwnSenderKeepsStep(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	b := NewBroadcast(media.NewHub(media.HubOptions{}), nil)
	sent := func(codec media.Codec, late time.Duration) *Track {
		x := NewTrack(codec)
		x.w, x.lastPTS = &sinkhole{}, 10*time.Second
		x.last = &media.Frame{Codec: codec, Captured: now.Add(late - time.Second)}
		return x
	}
	video, audio := sent(media.H264, 0), sent(media.Opus, 300*time.Millisecond)
	clock := &WallClock{}
	pictures, sound := NewSender(b, []*Track{video}, nil), NewSender(b, []*Track{audio}, nil)
	pictures.Clock, sound.Clock = clock, clock
	at := func(s *Sender, x *Track) time.Duration {
		r := s.reports(now)[0].(*rtcp.SenderReport)
		return time.Duration(r.RTPTime-x.base) * time.Second / time.Duration(x.Codec.ClockRate())
	}
	p, q := at(pictures, video), at(sound, audio)
	if apart := (p - q).Abs(); apart > time.Millisecond {
		t.Errorf("the reports say PTS %v for the picture and %v for the sound at one time: %v apart", p, q, apart)
	}
	audio.last = &media.Frame{Codec: media.Opus, Captured: now.Add(clockLasts)}
	if got, want := at(sound, audio), 10*time.Second-clockLasts; got != want {
		t.Errorf("without pictures for %v the sound's own clock says %v, want %v", clockLasts, got, want)
	}
}
