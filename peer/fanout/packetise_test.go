package fanout

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

func unit(kind byte, size int, r *rand.Rand) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = 0x60 | kind
	return b
}

// TestPacketiseH264 takes the packets apart with a depacketizer that is not ours.
func TestPacketiseH264(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name    string
		units   [][]byte
		packets int // 0 is any
		dropped int // units that do not travel
	}{
		{"a small slice", [][]byte{unit(1, 100, r)}, 1, 0},
		{"just one packet", [][]byte{unit(1, wire.MaxPayload, r)}, 1, 0},
		{"just too large", [][]byte{unit(1, wire.MaxPayload+1, r)}, 2, 0},
		{"a key frame", [][]byte{unit(7, 20, r), unit(8, 4, r), unit(6, 30, r), unit(5, 50_000, r)}, 0, 0},
		{"one parameter set", [][]byte{unit(7, 20, r), unit(5, 300, r)}, 2, 0},
		{"an access unit delimiter", [][]byte{unit(9, 2, r), unit(1, 300, r)}, 1, 1},
		{"many slices", [][]byte{unit(1, 3000, r), unit(1, 10, r), unit(1, 5000, r)}, 0, 0},
		{"a parameter set larger than a packet", [][]byte{unit(7, 2000, r), unit(5, 10, r)}, 3, 0},
		{"an empty unit", [][]byte{{}, unit(1, 10, r)}, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Data: tt.units})
			if err != nil {
				t.Fatal(err)
			}
			if tt.packets != 0 && len(p.payloads) != tt.packets {
				t.Errorf("%d packets, want %d", len(p.payloads), tt.packets)
			}
			d := &codecs.H264Packet{IsAVC: true}
			var stream []byte
			for i := range p.payloads {
				if n := p.payloads[i].size(); n > wire.MaxPayload {
					t.Errorf("packet %d has %d bytes, at most %d fit", i, n, wire.MaxPayload)
				}
				out, err := d.Unmarshal(p.payloads[i].appendTo(nil))
				if err != nil {
					t.Fatal(err)
				}
				stream = append(stream, out...)
			}
			var got [][]byte
			for len(stream) > 0 {
				n := binary.BigEndian.Uint32(stream)
				got = append(got, stream[4:4+n])
				stream = stream[4+n:]
			}
			want := tt.units[tt.dropped:]
			if len(got) != len(want) {
				t.Fatalf("%d units came out, want %d", len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("unit %d differs: %d bytes, want %d", i, len(got[i]), len(want[i]))
				}
			}
		})
	}
}

func TestRTPTimeIsExactAtAnyAge(t *testing.T) {
	for _, tt := range []struct {
		pts  time.Duration
		rate uint32
		want uint32
	}{
		{0, 90000, 0},
		{time.Second / 30, 90000, 3000},
		{20 * time.Millisecond, 48000, 960},
		{13*time.Hour + 15*time.Minute + 21*time.Second, 90000, 4294890000}, // just before the first wrap
		{13*time.Hour + 15*time.Minute + 22*time.Second, 90000, 12704},      // just behind it
		{10 * 365 * 24 * time.Hour, 48000, uint32(uint64(10*365*24*3600) * 48000 % (1 << 32))},
	} {
		if got := rtpTime(tt.pts, tt.rate); got != tt.want {
			t.Errorf("rtpTime(%v, %d) = %d, want %d", tt.pts, tt.rate, got, tt.want)
		}
	}
}

// frameOf makes the packets of a frame of about size bytes.
func frameOf(key bool, size int) *packets {
	p, _ := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: key, Data: [][]byte{make([]byte, size)}})
	return p
}

func TestSlowViewerLosesFramesUpToTheNextKeyFrame(t *testing.T) {
	s := NewSender(nil, []*Track{NewTrack(media.H264)}, nil)
	s.push(frameOf(false, 1000)) // before the first key frame
	s.push(frameOf(true, 1000))
	for range 5 { // nobody reads: the fourth no longer fits
		s.push(frameOf(false, queueBytes/4))
	}
	s.push(frameOf(true, 500))
	s.push(frameOf(false, 400))
	var got []int
	for x, ok := s.pop(); ok; x, ok = s.pop() {
		got = append(got, x.p.frame.Size())
	}
	if len(got) != 2 || got[0] != 500 || got[1] != 400 {
		t.Errorf("what is left has the sizes %v, want the last key frame and what follows it: [500 400]", got)
	}
	if d := s.dropped[media.H264]; d != (drops{dropStart: 1, dropBehind: 6}) {
		t.Errorf("dropped %v, want 1 before the first key frame and 6 because the viewer is behind", d)
	}
}

func TestSenderTakesAWindowOfAnySize(t *testing.T) {
	s := NewSender(nil, []*Track{NewTrack(media.H264)}, nil)
	s.begin([]*packets{frameOf(true, queueBytes), frameOf(false, queueBytes)})
	s.push(frameOf(false, 1000))
	n := 0
	for _, ok := s.pop(); ok; _, ok = s.pop() {
		n++
	}
	if d := s.dropped[media.H264].total(); n != 3 || d != 0 {
		t.Errorf("%d frames came, %d were dropped; want 3 and 0", n, d)
	}
}

func BenchmarkPacketise(b *testing.B) {
	f := &media.Frame{Codec: media.H264, Key: true,
		Data: [][]byte{unit(7, 20, rand.New(rand.NewPCG(1, 2))), {0x68, 1, 2, 3}, make([]byte, 70_000)}}
	f.Data[2][0] = 0x65
	b.SetBytes(int64(f.Size()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (&packetiser{}).packetise(f); err != nil {
			b.Fatal(err)
		}
	}
}

// roundTrip packetises a frame, takes it apart with a depacketizer that is not ours, and gives what came out.
func roundTrip(t *testing.T, f *media.Frame) *media.Frame {
	t.Helper()
	p, err := (&packetiser{}).packetise(f)
	if err != nil {
		t.Fatal(err)
	}
	var parser rtp.Depacketizer = &codecs.H265Depacketizer{}
	if f.Codec == media.VP8 {
		parser = &codecs.VP8Packet{}
	}
	var data []byte
	for i := range p.payloads {
		b := p.payloads[i].appendTo(nil)
		if len(b) > wire.MaxPayload {
			t.Errorf("packet %d has %d bytes, at most %d fit", i, len(b), wire.MaxPayload)
		}
		if head := parser.IsPartitionHead(b); i == 0 && !head || i > 0 && f.Codec == media.VP8 && head {
			t.Errorf("packet %d begins a frame: %v", i, head)
		}
		out, err := parser.Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, out...)
	}
	if !parser.IsPartitionTail(true, p.payloads[len(p.payloads)-1].appendTo(nil)) {
		t.Error("the last packet does not end the frame")
	}
	out := &media.Frame{Codec: f.Codec, Data: [][]byte{data}}
	if f.Codec == media.H265 {
		var units h264.AnnexB // the same in both
		if err := units.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		out.Data, out.Key = units, h265.IsRandomAccess(units)
	} else if len(data) > 0 {
		out.Key = data[0]&1 == 0 // RFC 6386 section 9.1
	}
	return out
}

func TestOtherCodecsComeBackWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	nal265 := func(kind byte, size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32()) | 1
		}
		b[0], b[1] = kind<<1, 1
		return b
	}
	vp8 := make([]byte, 30_000)
	for i := range vp8 {
		vp8[i] = byte(r.Uint32())
	}
	vp8[0] &^= 1 // a key frame
	for _, f := range []*media.Frame{
		{Codec: media.H265, Key: true, Data: [][]byte{nal265(32, 24), nal265(33, 60), nal265(34, 8),
			nal265(19, 40_000)}},
		{Codec: media.H265, Data: [][]byte{nal265(1, 900), nal265(1, 3000)}},
		{Codec: media.VP8, Key: true, Data: [][]byte{vp8}},
		{Codec: media.VP8, Data: [][]byte{{1, 2, 3}}},
	} {
		got := roundTrip(t, f)
		if got.Key != f.Key || len(got.Data) != len(f.Data) {
			t.Fatalf("%s: key %v, %d units; want %v, %d", f.Codec, got.Key, len(got.Data), f.Key, len(f.Data))
		}
		for i := range got.Data {
			if !bytes.Equal(got.Data[i], f.Data[i]) {
				t.Errorf("%s: unit %d has %d bytes, want %d; they differ", f.Codec, i, len(got.Data[i]), len(f.Data[i]))
			}
		}
	}
}
