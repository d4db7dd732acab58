package rtsp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// audio turns the RTP packets of one Opus or G.711 track into frames: one packet is one frame (RFC 7587 section 4.2,
// RFC 3551), or several when it is longer than what viewers get in one packet.
type audio struct {
	in    *depacket.Track
	clock clock
	out   output
}

// newAudio accepts a format that viewers can get, or returns why not.
func newAudio(forma format.Format) (*audio, error) {
	switch forma.(type) {
	case *format.Opus, *format.G711:
	default:
		return nil, errors.New(codecName(forma))
	}
	in, err := depacket.New(forma)
	if err != nil {
		return nil, err
	}
	return &audio{in: in, clock: clock{rate: int64(forma.ClockRate())}}, nil
}

func (a *audio) shown() bool                  { return true }
func (a *audio) waiting() bool                { return false }
func (a *audio) flush() (damage, fatal error) { return nil, nil }

func (a *audio) rate() *es.Rate { return a.clock.measured() }

func (a *audio) track() media.Track { return a.in.Track }

// packet handles one RTP packet that arrived at now, with its time in ticks.
func (a *audio) packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	units, damage := a.in.Packet(pkt)
	for _, u := range units {
		after := ticksOf(u.Offset, a.clock.rate)
		pts, _ := a.clock.pts(ticks+after, now)
		a.out(&media.Frame{Codec: a.in.Codec, PTS: pts, Captured: now, Data: detach(u.Data)},
			pkt.Timestamp+uint32(after))
	}
	return damage, nil
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
