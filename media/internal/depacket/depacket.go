// Package depacket turns the RTP packets of one track into access units of video and packets of audio, in the form for
// es.Writer.
//
// H.264 and H.265 are taken apart here, since cameras are less orderly than the RFCs. The other decoders are
// gortsplib's; this package selects, limits and translates.
package depacket

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpac3"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg1audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp8"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp9"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// MaxPackets limits the packets of one access unit, and so what fragments of one byte each can make us store.
const MaxPackets = 16384

// ErrPackets says that an access unit has more packets than any real one.
var ErrPackets = fmt.Errorf("access unit of more than %d packets", MaxPackets)

// ErrInterleaved says that the packets are not in decoding order.
var ErrInterleaved = errors.New("the video comes in interleaved packets")

// Track is one track of an RTP session.
type Track struct {
	media.Track
	Sets [][]byte // parameter sets from the SDP

	open   func() (decoder, error)
	decode decoder
	held   int       // packets since the last access unit
	nal    *pictures // of H.264 and H.265
}

// decoder returns the units that pkt completes. more says that there are none yet.
type decoder func(pkt *rtp.Packet) (units []Unit, more bool, err error)

// Unit is the input of one call of es.Writer.
type Unit struct {
	Offset time.Duration // after the time of the packet
	Data   [][]byte
	Held   bool // the packet that completes it is the one before
}

// New selects a decoder. Its error is the name of an unsupported codec, for people.
func New(forma format.Format) (*Track, error) {
	t := &Track{}
	switch f := forma.(type) {
	case *format.H264:
		t.Codec, t.SPS, t.PPS, t.Sets = media.H264, f.SPS, f.PPS, [][]byte{f.SPS, f.PPS}
		if f.PacketizationMode > 1 {
			return t, fmt.Errorf("%w (packetization-mode=%d)", ErrInterleaved, f.PacketizationMode)
		}
		t.open = t.pictures(f.ClockRate())
	case *format.H265:
		t.Codec, t.Sets = media.H265, [][]byte{f.VPS, f.SPS, f.PPS}
		if f.MaxDONDiff != 0 {
			return t, fmt.Errorf("%w (sprop-max-don-diff=%d)", ErrInterleaved, f.MaxDONDiff)
		}
		t.open = t.pictures(f.ClockRate())
	case *format.VP8:
		t.Codec = media.VP8
		t.open = whole(f.CreateDecoder, one((*rtpvp8.Decoder).Decode), rtpvp8.ErrMorePacketsNeeded,
			rtpvp8.ErrNonStartingPacketAndNoPrevious)
	case *format.VP9:
		t.Codec = media.VP9
		t.open = whole(f.CreateDecoder, one((*rtpvp9.Decoder).Decode), rtpvp9.ErrMorePacketsNeeded,
			rtpvp9.ErrNonStartingPacketAndNoPrevious)
	case *format.AV1:
		t.Codec = media.AV1
		t.open = whole(f.CreateDecoder, temporalUnit, rtpav1.ErrMorePacketsNeeded,
			rtpav1.ErrNonStartingPacketAndNoPrevious)
	default:
		return t, t.audio(forma)
	}
	return t, t.reset()
}

// audio selects among the audio codecs.
func (t *Track) audio(forma format.Format) error {
	plain := func() (decoder, error) {
		return func(pkt *rtp.Packet) ([]Unit, bool, error) {
			if len(pkt.Payload) == 0 {
				return nil, true, nil
			}
			return []Unit{{Data: [][]byte{pkt.Payload}}}, false, nil
		}, nil
	}
	switch f := forma.(type) {
	case *format.Opus:
		if f.ChannelCount > 2 {
			return fmt.Errorf("opus with %d channels", f.ChannelCount)
		}
		t.Codec, t.Channels, t.open = media.Opus, f.ChannelCount, plain
	case *format.G711:
		if err := t.newG711(f); err != nil {
			return err
		}
	case *format.LPCM:
		if f.BitDepth != 16 {
			return fmt.Errorf("linear PCM with %d bits", f.BitDepth)
		}
		t.Codec, t.open = es.PCM(f.SampleRate, f.ChannelCount), plain
	case *format.MPEG4Audio:
		if f.Config == nil {
			return errors.New("AAC without a configuration")
		}
		t.Codec, t.open = es.ADTS, func() (decoder, error) { return aac(f) }
	case *format.MPEG1Audio:
		t.Codec = es.MPA
		t.open = whole(f.CreateDecoder, (*rtpmpeg1audio.Decoder).Decode, rtpmpeg1audio.ErrMorePacketsNeeded,
			rtpmpeg1audio.ErrNonStartingPacketAndNoPrevious)
	case *format.AC3:
		t.Codec = es.AC3
		t.open = whole(f.CreateDecoder, (*rtpac3.Decoder).Decode, rtpac3.ErrMorePacketsNeeded,
			rtpac3.ErrNonStartingPacketAndNoPrevious)
	default:
		return fmt.Errorf("%s", name(forma))
	}
	return t.reset()
}

// name returns the usual name of a format: its RTP encoding name if it has one.
func name(forma format.Format) string {
	if encoding, _, _ := strings.Cut(forma.RTPMap(), "/"); encoding != "" {
		return encoding
	}
	return fmt.Sprintf("payload type %d", forma.PayloadType())
}

func (t *Track) reset() (err error) {
	t.held = 0
	t.decode, err = t.open()
	return err
}

// Packet handles the next packet. Its payload belongs to the track from then on. An error reports damage, which costs
// only the unit being assembled.
func (t *Track) Packet(pkt *rtp.Packet) ([]Unit, error) {
	if t.held++; t.held > MaxPackets {
		return nil, errors.Join(ErrPackets, t.reset())
	}
	units, more, err := t.decode(pkt)
	if !more {
		t.held = 0
	}
	return units, err
}

// whole wraps one of gortsplib's decoders that return one access unit at a time.
func whole[D any](create func() (D, error), decode func(D, *rtp.Packet) ([][]byte, error), more,
	lost error) func() (decoder, error) {
	return func() (decoder, error) {
		d, err := create()
		if err != nil {
			return nil, err
		}
		return func(pkt *rtp.Packet) ([]Unit, bool, error) {
			data, err := decode(d, pkt)
			switch {
			case errors.Is(err, more):
				return nil, true, nil
			case errors.Is(err, lost):
				return nil, false, nil // its loss was already reported
			case err != nil || len(data) == 0:
				return nil, false, err
			}
			return []Unit{{Data: data}}, false, nil
		}, nil
	}
}

// pictures opens the decoder of H.264 and H.265.
func (t *Track) pictures(rate int) func() (decoder, error) {
	return func() (decoder, error) {
		t.nal = newPictures(t.Codec, rate)
		return t.nal.packet, nil
	}
}

// Waiting reports whether a picture that may be whole is held back until the next one begins: its end cannot be known.
func (t *Track) Waiting() bool { return t.nal != nil && t.nal.waiting() }

// Flush returns that picture, when nothing has come for a while. Its offset counts from the last packet.
func (t *Track) Flush() ([]Unit, error) {
	if t.nal == nil {
		return nil, nil
	}
	t.held = 0
	return t.nal.flush()
}

// one makes a list of a single piece.
func one[D any](decode func(D, *rtp.Packet) ([]byte, error)) func(D, *rtp.Packet) ([][]byte, error) {
	return func(d D, pkt *rtp.Packet) ([][]byte, error) {
		b, err := decode(d, pkt)
		if err != nil {
			return nil, err
		}
		return [][]byte{b}, nil
	}
}

// temporalUnit assembles the OBUs of a temporal unit into a low-overhead bitstream (AV1 specification, section 5.2).
func temporalUnit(d *rtpav1.Decoder, pkt *rtp.Packet) ([][]byte, error) {
	tu, err := d.Decode(pkt)
	if err != nil {
		return nil, err
	}
	b, err := av1.Bitstream(tu).Marshal()
	return [][]byte{b}, err
}

// aac gives each access unit its header, and its time relative to the first of the packet.
func aac(f *format.MPEG4Audio) (decoder, error) {
	d, err := f.CreateDecoder()
	if err != nil {
		return nil, err
	}
	return func(pkt *rtp.Packet) ([]Unit, bool, error) {
		aus, err := d.Decode(pkt)
		if errors.Is(err, rtpmpeg4audio.ErrMorePacketsNeeded) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		var units []Unit
		for i, au := range aus {
			framed, err := mpeg4audio.ADTSPackets{{
				Type: mpeg4audio.ObjectTypeAACLC, SampleRate: f.Config.SampleRate,
				ChannelConfig: f.Config.ChannelConfig, AU: au,
			}}.Marshal()
			if err != nil {
				return nil, false, err
			}
			samples := time.Duration(i * mpeg4audio.SamplesPerAccessUnit)
			units = append(units, Unit{Offset: samples * time.Second / time.Duration(f.Config.SampleRate),
				Data: [][]byte{framed}})
		}
		return units, false, nil
	}, nil
}
