package rtsp

import (
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
)

// MaxUnitPackets is depacket.MaxPackets.
const MaxUnitPackets = depacket.MaxPackets

// Clock is a clock for one track.
type Clock struct{ c clock }

// NewClock makes the clock of a track.
func NewClock(rate int64) *Clock { return &Clock{clock{rate: rate}} }

// PTS is clock.pts.
func (c *Clock) PTS(ticks int64, now time.Time) (time.Duration, bool) { return c.c.pts(ticks, now) }

// Video is the video part of a session.
type Video struct{ v *video }

// NewVideo makes the video part of a session with a camera that announced forma.
func NewVideo(forma *format.H264, out func(*media.Frame)) (*Video, error) {
	v, err := newVideo(forma)
	if err != nil {
		return nil, err
	}
	v.out = func(f *media.Frame, _ uint32) { out(f) }
	return &Video{v}, nil
}

// Packet is video.packet.
func (v *Video) Packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	return v.v.packet(pkt, ticks, now)
}

// Keys is keys.
type Keys struct{ k keys }

// Frame is keys.frame.
func (k *Keys) Frame(key bool, now time.Time) string { return k.k.frame(key, now) }
