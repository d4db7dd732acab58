package fanout

import (
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/kvsagent/kvsagent/media"
)

// audioClockSlack is the part of a packet of sound by which the next one may be early or late and still follow it
// without a gap.
const audioClockSlack = 16

// audioClock is by how much the RTP clock of sound moves against PTS before a frame at pts. RTP times of sound count
// samples (RFC 3550 section 5.1), and a browser throws away a packet that begins before the end of the one before it.
// So a frame that is hardly early or late, by the rounding of a container or because its source moves the sound to its
// picture little by little, follows on the sample, and sender reports tell where it belongs.
func (t *Track) audioClock(pts time.Duration) uint32 {
	if t.last == nil || t.Codec.Video() {
		return 0
	}
	samples := soundSamples(t.last)
	off := samples - int64(rtpTime(pts, t.Codec.ClockRate())-rtpTime(t.lastPTS, t.Codec.ClockRate()))
	if off > samples/audioClockSlack || off < -samples/audioClockSlack {
		return 0
	}
	return uint32(off)
}

// soundSamples is how long a frame of sound lasts, in units of its RTP clock; 0 is not known.
func soundSamples(f *media.Frame) int64 {
	if len(f.Data) == 0 {
		return 0
	}
	switch f.Codec {
	case media.Opus:
		return opus.PacketDuration2(f.Data[0])
	case media.PCMU, media.PCMA:
		return int64(len(f.Data[0])) // RFC 3551 section 4.5.14: 8000 samples a second, of a byte each
	}
	return 0
}
