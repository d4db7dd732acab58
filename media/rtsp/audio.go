package rtsp

import (
	"fmt"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
)

// audio turns the RTP packets of one Opus or G.711 track into frames: one packet is one frame (RFC 7587 section 4.2,
// RFC 3551).
type audio struct {
	codec    media.Codec
	channels int
	clock    clock
	out      output
}

// newAudio accepts a format that viewers can get unchanged, or returns why not.
func newAudio(forma format.Format) (*audio, error) {
	a := &audio{clock: clock{rate: int64(forma.ClockRate())}}
	switch f := forma.(type) {
	case *format.Opus:
		a.codec, a.channels = media.Opus, f.ChannelCount
		if f.ChannelCount > 2 {
			return nil, fmt.Errorf("opus with %d channels", f.ChannelCount)
		}
	case *format.G711:
		a.codec, a.channels = media.PCMA, 1
		if f.MULaw {
			a.codec = media.PCMU
		}
		if f.SampleRate != 8000 || f.ChannelCount != 1 {
			return nil, fmt.Errorf("%s with %d Hz and %d channels", a.codec, f.SampleRate, f.ChannelCount)
		}
	default:
		return nil, fmt.Errorf("%s", codecName(forma))
	}
	return a, nil
}

func (a *audio) shown() bool                  { return true }
func (a *audio) waiting() bool                { return false }
func (a *audio) flush() (damage, fatal error) { return nil, nil }

func (a *audio) track() media.Track { return media.Track{Codec: a.codec, Channels: a.channels} }

// packet handles one RTP packet that arrived at now, with its time in ticks.
func (a *audio) packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	if len(pkt.Payload) == 0 {
		return nil, nil
	}
	pts, _ := a.clock.pts(ticks, now)
	a.out(&media.Frame{Codec: a.codec, PTS: pts, Captured: now, Data: detach([][]byte{pkt.Payload})}, pkt.Timestamp)
	return nil, nil
}

// codecName returns the usual name of a format: its RTP encoding name if it has one.
func codecName(forma format.Format) string {
	name, _, _ := strings.Cut(forma.RTPMap(), "/")
	switch {
	case name == "":
		return fmt.Sprintf("payload type %d", forma.PayloadType())
	case strings.EqualFold(name, "mpeg4-generic"), strings.EqualFold(name, "MP4A-LATM"):
		return "AAC (" + name + ")"
	}
	return printable(name)
}
