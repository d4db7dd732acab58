package rtsp_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

func TestClock(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		camera, passed time.Duration // by the camera's clock since its zero; by ours since the packet before
		want           time.Duration
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"even", []step{{0, 0, 0}, {40 * ms, 40 * ms, 40 * ms}, {80 * ms, 40 * ms, 80 * ms}}},
		{"begins late", []step{{700 * ms, 0, 700 * ms}, {740 * ms, 40 * ms, 740 * ms}}},
		{"begins before zero", []step{{-700 * ms, 0, 0}, {-660 * ms, 40 * ms, 40 * ms}}},
		{"jitter of arrival", []step{{0, 0, 0}, {40 * ms, 900 * ms, 40 * ms}, {80 * ms, 0, 80 * ms}}},
		{"a little back", []step{{0, 0, 0}, {40 * ms, 40 * ms, 40 * ms}, {0, 40 * ms, 40 * ms},
			{80 * ms, 40 * ms, 80 * ms}}},
		{"an hour ahead", []step{{0, 0, 0}, {time.Hour, 40 * ms, 40 * ms}, {time.Hour + 40*ms, 40 * ms, 80 * ms}}},
		{"an hour back", []step{{time.Hour, 0, 0}, {0, 40 * ms, 40 * ms}, {40 * ms, 40 * ms, 80 * ms}}},
		{"stands still", []step{{0, 0, 0}, {0, 400 * ms, 0}, {0, 400 * ms, 400 * ms}, {0, 40 * ms, 440 * ms},
			{40 * ms, 40 * ms, 480 * ms}}},
		{"a pause of a minute", []step{{0, 0, 0}, {time.Minute, time.Minute, time.Minute}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := rtsp.NewClock(90000)
			now := time.Unix(0, 0)
			for i, s := range tt.steps {
				now = now.Add(s.passed)
				if got, _ := c.PTS(int64(s.camera*90/ms), now); got != s.want {
					t.Errorf("step %d: PTS = %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

// FuzzClock: PTS never goes back, and never runs more than a second ahead of the time that passed.
func FuzzClock(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 255, 255, 0, 0, 1, 0, 0, 0, 128, 0, 7, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := rtsp.NewClock(90000)
		now := time.Unix(0, 0)
		last := time.Duration(0)
		for i := 0; len(data) >= 10; i++ {
			ticks := int64(binary.LittleEndian.Uint64(data)) >> 20
			passed := time.Duration(binary.LittleEndian.Uint16(data[8:])) * time.Millisecond
			data = data[10:]
			now = now.Add(passed)
			pts, _ := c.PTS(ticks, now)
			if i > 0 && (pts < last || pts > last+passed+time.Second) {
				t.Fatalf("PTS goes from %v to %v in %v", last, pts, passed)
			}
			last = pts
		}
	})
}

func packet(n int, ts uint32, payload []byte) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: ts},
		Payload: payload}
}

// TestEndlessFragments: a NAL unit in fragments of nothing, each in a packet of its own, and no end to it.
func TestEndlessFragments(t *testing.T) {
	for _, tt := range []struct {
		name string
		more []byte // of a fragment, after its header
	}{{"empty", nil}, {"one byte", []byte{1}}} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := rtsp.NewVideo(&format.H264{PayloadTyp: 96, PacketizationMode: 1}, func(*media.Frame) {})
			if err != nil {
				t.Fatal(err)
			}
			damage := 0
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for n := range 20 * rtsp.MaxUnitPackets {
				head := byte(0x05) // FU header: middle of an IDR slice
				if n == 0 {
					head |= 0x80
				}
				payload := make([]byte, 0, 1400) // the library would keep a reference to it
				payload = append(append(payload, 0x7c, head), tt.more...)
				d, fatal := v.Packet(packet(n, 0, payload), 0, time.Unix(0, 0))
				if fatal != nil {
					t.Fatal(fatal)
				}
				if d != nil {
					damage++
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > rtsp.MaxUnitPackets*2000 {
				t.Errorf("memory grew by %d bytes", grown)
			}
			if damage == 0 {
				t.Error("nothing was reported as damaged")
			}
			runtime.KeepAlive(v)
		})
	}
}

// TestNoMarker: a camera that sets no marker bits ends a picture with the first packet of the next one, which has
// another time.
func TestNoMarker(t *testing.T) {
	c := baseline(t)
	enc, err := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	var frames []*media.Frame
	v, err := rtsp.NewVideo(&format.H264{PayloadTyp: 96, PacketizationMode: 1},
		func(f *media.Frame) { frames = append(frames, f) })
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	for i, au := range c.units {
		packets, err := enc.Encode(au)
		if err != nil {
			t.Fatal(err)
		}
		ts := uint32(i * 3600)
		now = now.Add(40 * time.Millisecond)
		for _, pkt := range packets {
			pkt.Marker, pkt.Timestamp = false, ts
			if damage, fatal := v.Packet(pkt, int64(ts), now); damage != nil || fatal != nil {
				t.Fatal(damage, fatal)
			}
		}
	}
	if len(frames) != 49 {
		t.Fatalf("%d frames of 50, want all but the one that has no next", len(frames))
	}
	for i, f := range frames {
		if f.PTS != time.Duration(i)*40*time.Millisecond || !bytes.Equal(payload(f.Data), payload(c.units[i])) {
			t.Errorf("frame %d has PTS %v, or is not what was sent", i, f.PTS)
		}
	}
}

// FuzzVideo feeds packets that a camera made up: no panic, and only frames that keep the promises of media.Frame.
func FuzzVideo(f *testing.F) {
	c := baseline(f, "-s", "32x32")
	enc, err := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateEncoder()
	if err != nil {
		f.Fatal(err)
	}
	var seed []byte
	for i, au := range c.units[:3] {
		packets, err := enc.Encode(au)
		if err != nil {
			f.Fatal(err)
		}
		for _, pkt := range packets {
			marker := byte(0)
			if pkt.Marker {
				marker = 1
			}
			seed = append(seed, marker, byte(i), byte(len(pkt.Payload)>>8), byte(len(pkt.Payload)))
			seed = append(seed, pkt.Payload...)
		}
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		keyed := false
		last := time.Duration(0)
		v, err := rtsp.NewVideo(&format.H264{PayloadTyp: 96, PacketizationMode: 1}, func(f *media.Frame) {
			if f.Key && (len(f.Data) < 3 || f.Data[0][0]&0x1f != 7 || f.Data[1][0]&0x1f != 8) {
				t.Error("a key frame does not begin with its parameter sets")
			}
			if !keyed && !f.Key {
				t.Error("a frame before the first key frame")
			}
			for _, nal := range f.Data {
				if len(nal) == 0 || nal[0]&0x1f == 9 {
					t.Error("a NAL unit that is empty or a delimiter")
				}
			}
			if f.PTS < last {
				t.Errorf("PTS goes back from %v to %v", last, f.PTS)
			}
			keyed, last = true, f.PTS
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(0, 0)
		for n := 0; len(data) >= 4; n++ {
			ts := uint32(data[1]) * 3600
			size := min(len(data)-4, int(data[2])<<8|int(data[3]))
			pkt := packet(n, ts, data[4:4+size])
			pkt.Marker = data[0]&1 == 1
			v.Packet(pkt, int64(ts), now.Add(time.Duration(n)*time.Millisecond))
			data = data[4+size:]
		}
	})
}
