package depacket_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media/internal/depacket"
)

// tone is G.711 of a sine.
func tone(f *format.G711, hz float64, length time.Duration) []byte {
	var wide []byte
	for i := range int(length.Seconds() * float64(f.SampleRate)) {
		v := int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/float64(f.SampleRate)))
		for range f.ChannelCount {
			wide = append(wide, byte(uint16(v)>>8), byte(v))
		}
	}
	b, _ := g711.Alaw(wide).Marshal()
	if f.MULaw {
		b, _ = g711.Mulaw(wide).Marshal()
	}
	return b
}

// level returns how much of a frequency is in G.711 of 8000 Hz, as an amplitude.
func level(mulaw bool, b []byte, hz float64) float64 {
	var wide []byte
	if mulaw {
		(*g711.Mulaw)(&wide).Unmarshal(b)
	} else {
		(*g711.Alaw)(&wide).Unmarshal(b)
	}
	re, im, n := 0.0, 0.0, len(b)
	for i := range n {
		v := float64(int16(uint16(wide[2*i])<<8 | uint16(wide[2*i+1])))
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / 8000)
		re, im = re+v*cos, im+v*sin
	}
	return 2 * math.Hypot(re, im) / float64(n)
}

// TestG711: whatever rate, channels and length of packets a camera has, a tone of a second stays a second of that tone
// at 8000 Hz, in frames of at most 30 ms, each with its time.
func TestG711(t *testing.T) {
	for _, tt := range []struct{ rate, channels, packet int }{
		{8000, 1, 160}, {8000, 1, 80}, {8000, 1, 240}, {8000, 1, 2000}, {8000, 1, 2048}, {8000, 1, 8000},
		{16000, 1, 320}, {16000, 1, 2048}, {16000, 2, 640}, {8000, 2, 320}, {11025, 1, 441}, {48000, 1, 960},
	} {
		for _, mulaw := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, mulaw %v", tt, mulaw), func(t *testing.T) {
				f := &format.G711{MULaw: mulaw, SampleRate: tt.rate, ChannelCount: tt.channels}
				track, err := depacket.New(f)
				if err != nil {
					t.Fatal(err)
				}
				var all []byte
				in := tone(f, 440, time.Second)
				for at := 0; at < len(in); at += tt.packet {
					units, err := track.Packet(&rtp.Packet{Payload: in[at:min(at+tt.packet, len(in))]})
					if err != nil {
						t.Fatal(err)
					}
					begin := len(all)
					for _, u := range units {
						if want := time.Duration(len(all)-begin) * 125 * time.Microsecond; u.Offset != want {
							t.Errorf("a frame is at %v, want %v", u.Offset, want)
						}
						if n := len(u.Data[0]); n > 240 {
							t.Errorf("a frame of %d bytes", n)
						}
						all = append(all, u.Data[0]...)
					}
				}
				if len(all) < 7950 || len(all) > 8000 {
					t.Errorf("%d samples of a second, want 8000", len(all))
				}
				if plain := tt.rate == 8000 && tt.channels == 1; plain && !bytes.Equal(all, in) {
					t.Error("what needs no change is changed")
				}
				if a := level(mulaw, all, 440); a < 7000 || a > 8500 {
					t.Errorf("the tone has an amplitude of %.0f, want 8000", a)
				}
			})
		}
	}
}

// TestG711Alias: a tone that 8000 Hz cannot hold does not come back as another.
func TestG711Alias(t *testing.T) {
	f := &format.G711{SampleRate: 16000, ChannelCount: 1}
	track, err := depacket.New(f)
	if err != nil {
		t.Fatal(err)
	}
	units, err := track.Packet(&rtp.Packet{Payload: tone(f, 6000, time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, u := range units {
		all = append(all, u.Data[0]...)
	}
	if a := level(false, all, 2000); a > 100 {
		t.Errorf("6000 Hz come back as 2000 Hz with an amplitude of %.0f of 8000", a)
	}
}

// TestRates: the rate that an SDP gives to a static payload type counts.
func TestRates(t *testing.T) {
	const m = "m=audio 0 RTP/AVP 8\r\n"
	for sdp, want := range map[string][2]int{ // rate and channels
		m:                                    {8000, 1},
		m + "a=rtpmap:8 PCMA/8000\r\n":       {8000, 1},
		m + "a=rtpmap:8 PCMA/16000\r\n":      {16000, 1},
		m + "a=rtpmap:8 pcma/16000/2\na=x\n": {16000, 2},
		m + "a=rtpmap:0 PCMU/16000\r\n":      {8000, 1},
		m + "a=rtpmap:8 PCMA/0\r\n":          {8000, 1},
	} {
		f := format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1}
		depacket.ReadRates([]byte(sdp)).Correct(&f)
		if got := [2]int{f.SampleRate, f.ChannelCount}; got != want {
			t.Errorf("%q: %v, want %v", sdp, got, want)
		}
	}
}
