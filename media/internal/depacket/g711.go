package depacket

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
)

const (
	g711Rate   = 8000 // what browsers take (RFC 7874 section 3)
	g711Frame  = 160  // samples of 20 ms
	g711Longer = 240  // samples of a packet that is passed on as it is; a datagram holds 1400
	rateLeast  = 4000
	rateMost   = 96000
)

// rtpmapG711 finds the rates of the static payload types.
var rtpmapG711 = regexp.MustCompile(`(?im)^a=rtpmap:([08]) +PCM[AU]/(\d{1,6})(?:/(\d))?\s*$`)

// Rates are the rates that an SDP gives to G.711 under the payload types 0 and 8. Those are for 8000 Hz (RFC 3551), so
// the SDP library does not read them, but cameras send 16000 Hz under them.
type Rates map[uint8]format.G711

// ReadRates reads an SDP.
func ReadRates(sdp []byte) Rates {
	rates := Rates{}
	for _, m := range rtpmapG711.FindAllSubmatch(sdp, -1) {
		rate, _ := strconv.Atoi(string(m[2]))
		channels := 1
		if len(m[3]) > 0 {
			channels, _ = strconv.Atoi(string(m[3]))
		}
		rates[m[1][0]-'0'] = format.G711{SampleRate: rate, ChannelCount: channels}
	}
	return rates
}

// Correct gives a format of that SDP its rate.
func (r Rates) Correct(forma format.Format) {
	if f, ok := forma.(*format.G711); ok {
		if said, ok := r[f.PayloadTyp]; ok && said.SampleRate > 0 && said.ChannelCount > 0 {
			f.SampleRate, f.ChannelCount = said.SampleRate, said.ChannelCount
		}
	}
}

// newG711 selects the decoder of G.711: at another rate or in stereo it is converted to what browsers take.
func (t *Track) newG711(f *format.G711) error {
	if f.SampleRate < rateLeast || f.SampleRate > rateMost || f.ChannelCount < 1 || f.ChannelCount > 2 {
		return fmt.Errorf("G.711 with %d Hz and %d channels", f.SampleRate, f.ChannelCount)
	}
	t.Codec, t.Channels = media.PCMA, 1
	if f.MULaw {
		t.Codec = media.PCMU
	}
	t.open = func() (decoder, error) {
		convert := func(b []byte) []byte { return b }
		if f.SampleRate != g711Rate || f.ChannelCount != 1 {
			r := newResampler(f.SampleRate)
			convert = func(b []byte) []byte { return encodeG711(f.MULaw, r.next(decodeG711(f, b))) }
		}
		return func(pkt *rtp.Packet) ([]Unit, bool, error) {
			units := cut(convert(pkt.Payload))
			return units, len(units) == 0, nil
		}, nil
	}
	return nil
}

// cut makes frames of 20 ms of a packet that is longer than usual: viewers get each frame in one packet.
func cut(b []byte) (units []Unit) {
	size := g711Frame
	if len(b) <= g711Longer {
		size = len(b)
	}
	for at := 0; at < len(b); at += size {
		frame := b[at:min(at+size, len(b))]
		if len(frame) < len(b) {
			frame = bytes.Clone(frame)
		}
		units = append(units, Unit{Offset: time.Duration(at) * time.Second / g711Rate, Data: [][]byte{frame}})
	}
	return units
}

// decodeG711 returns samples, with two channels mixed to one.
func decodeG711(f *format.G711, b []byte) []float64 {
	var wide []byte // 16 bits, big endian
	if f.MULaw {
		(*g711.Mulaw)(&wide).Unmarshal(b)
	} else {
		(*g711.Alaw)(&wide).Unmarshal(b)
	}
	samples := make([]float64, len(b)/f.ChannelCount)
	for i := range samples {
		for c := range f.ChannelCount {
			at := 2 * (i*f.ChannelCount + c)
			samples[i] += float64(int16(uint16(wide[at])<<8|uint16(wide[at+1]))) / float64(f.ChannelCount)
		}
	}
	return samples
}

func encodeG711(mulaw bool, samples []float64) []byte {
	wide := make([]byte, 0, 2*len(samples))
	for _, s := range samples {
		v := int16(max(-32768, min(32767, math.Round(s))))
		wide = append(wide, byte(uint16(v)>>8), byte(v))
	}
	// Of an even number of bytes, neither fails.
	if mulaw {
		b, _ := g711.Mulaw(wide).Marshal()
		return b
	}
	b, _ := g711.Alaw(wide).Marshal()
	return b
}

// resampler converts sound to 8000 Hz: a low pass below half of the lower rate, at the places of the new samples.
type resampler struct {
	rate   int
	reach  int       // samples to either side that a new one is made of
	cutoff float64   // as a part of the old rate
	old    []float64 // samples that are still needed
	at     int64     // place of the next new sample in old, in 1/8000 of an old one
}

func newResampler(rate int) *resampler {
	lower := min(float64(rate), g711Rate)
	r := &resampler{rate: rate, cutoff: 0.45 * lower / float64(rate)}
	r.reach = int(math.Ceil(12 * float64(rate) / lower))
	r.old = make([]float64, r.reach) // silence before the first one
	r.at = int64(r.reach) * g711Rate
	return r
}

// next takes the next samples and returns as many of the new rate as last as long. Those at the end are made with what
// comes next, so they are late by less than 2 ms.
func (r *resampler) next(samples []float64) (made []float64) {
	r.old = append(r.old, samples...)
	for {
		middle := int(r.at / g711Rate)
		if middle+r.reach >= len(r.old) {
			break
		}
		sum := 0.0
		for i := middle - r.reach + 1; i <= middle+r.reach; i++ {
			x := float64(i) - float64(r.at)/g711Rate
			window := 0.5 + 0.5*math.Cos(math.Pi*x/float64(r.reach))
			if x != 0 {
				sum += r.old[i] * window * math.Sin(2*math.Pi*r.cutoff*x) / (math.Pi * x)
			} else {
				sum += r.old[i] * 2 * r.cutoff
			}
		}
		made = append(made, sum)
		r.at += int64(r.rate)
	}
	drop := max(0, int(r.at/g711Rate)-r.reach)
	r.old, r.at = append([]float64(nil), r.old[drop:]...), r.at-int64(drop)*g711Rate
	return made
}
