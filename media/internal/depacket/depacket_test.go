package depacket_test

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

type sink struct{ frames int }

func (s *sink) Tracks([]media.Track) {}
func (s *sink) Write(f *media.Frame) { s.frames++ }

func formats() []format.Format {
	return []format.Format{
		&format.H264{PayloadTyp: 96, PacketizationMode: 1}, &format.H265{PayloadTyp: 96}, &format.VP8{PayloadTyp: 96},
		&format.VP9{PayloadTyp: 96},
		&format.AV1{PayloadTyp: 96}, &format.Opus{PayloadTyp: 96, ChannelCount: 2},
		&format.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1},
		&format.LPCM{PayloadTyp: 96, BitDepth: 16, SampleRate: 48000, ChannelCount: 2}, &format.MPEG1Audio{},
		&format.AC3{PayloadTyp: 96, SampleRate: 48000, ChannelCount: 2},
		&format.MPEG4Audio{PayloadTyp: 96, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
			Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000,
				ChannelConfig: 2}},
	}
}

// What cannot be sent is refused by its name.
func TestRefused(t *testing.T) {
	for _, forma := range []format.Format{&format.MJPEG{}, &format.G722{}, &format.Opus{ChannelCount: 6},
		&format.LPCM{BitDepth: 24},
		&format.G711{SampleRate: 16000, ChannelCount: 6}, &format.G711{SampleRate: 8, ChannelCount: 1},
		&format.MPEG4Audio{}} {
		if tr, err := depacket.New(forma); err == nil || err.Error() == "" {
			t.Errorf("%T: %v", forma, tr)
		}
	}
}

// FuzzPacket feeds packets that a camera made up to every decoder: no panic, and nothing grows.
func FuzzPacket(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 5, 0x7c, 0x85, 1, 2, 3, 1, 0, 3, 0x7c, 0x45, 4})
	f.Add(byte(1), []byte{0, 0, 5, 0x62, 1, 0x93, 2, 3, 1, 0, 4, 0x62, 1, 0x53, 4})
	f.Add(byte(2), []byte{1, 0, 12, 0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0, 0})
	f.Add(byte(3), []byte{1, 0, 6, 0x0c, 0x82, 0x49, 0x83, 0x42, 0})
	f.Add(byte(4), []byte{1, 0, 8, 0x18, 0x0a, 4, 0, 0, 0, 0x4a, 0xab})
	f.Add(byte(10), []byte{1, 0, 8, 0, 0x10, 0, 0x20, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		all := formats()
		tr, err := depacket.New(all[int(which)%len(all)])
		if err != nil {
			t.Fatal(err)
		}
		out := &sink{}
		w := es.NewWriter(out, tr.Track)
		now, n := time.Unix(0, 0), 0
		for ; len(data) >= 3; n++ {
			size := min(len(data)-3, int(data[1]&7)<<8|int(data[2]))
			pkt := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: data[0]&1 == 1, SequenceNumber: uint16(n),
				Timestamp: uint32(n) * 3000}, Payload: data[3 : 3+size]}
			units, _ := tr.Packet(pkt)
			for _, u := range units {
				now = now.Add(time.Millisecond)
				if w.Write(tr.Codec, time.Duration(n)*time.Millisecond+u.Offset, now, u.Data) != nil {
					return
				}
				_ = es.Duration(tr.Codec, u.Data[0])
			}
			data = data[3+size:]
		}
		if out.frames > 64*(n+1) {
			t.Errorf("%d frames of %d packets", out.frames, n)
		}
	})
}
