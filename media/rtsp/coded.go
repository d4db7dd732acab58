package rtsp

import (
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// output receives a frame and its RTP timestamp.
type output func(f *media.Frame, stamp uint32)

// stream turns the RTP packets of one track into frames. It is used by one goroutine at a time.
type stream interface {
	// packet handles one packet that arrived at now, with its time in ticks. damage is a fault of the packet, which
	// costs at most a frame; fatal ends the session.
	packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error)
	// track describes the stream as far as it is known.
	track() media.Track
	// shown reports whether a frame has come of it.
	shown() bool
	// waiting reports whether a picture is held back until the next one begins; flush passes it on.
	waiting() bool
	flush() (damage, fatal error)
	// rate corrects the clock of the track.
	rate() *es.Rate
}

// coded is a track of any codec except H.264, Opus and G.711, which have their own types: H.265, VP8, VP9, AV1, and
// audio to be transcoded.
type coded struct {
	in      *depacket.Track
	w       *es.Writer
	ticks   int64 // a second
	out     output
	last    moment // of the packet before
	stamp   uint32 // RTP timestamp of the unit that is being written
	changed func() // the track has changed; called before the first frame that shows it
	seen    bool
}

// newCoded accepts a format that has a decoder, or returns why there is none.
func newCoded(forma format.Format, out output, changed func()) (*coded, error) {
	in, err := depacket.New(forma)
	if err != nil {
		return nil, err
	}
	c := &coded{in: in, ticks: int64(forma.ClockRate()), out: out, changed: changed}
	c.w = es.NewWriter((*codedSink)(c), in.Track)
	c.w.Zero(0)
	c.w.Parameters(in.Sets...)
	return c, nil
}

func (c *coded) track() media.Track { return c.in.Track }
func (c *coded) shown() bool        { return c.seen }

func (c *coded) packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	units, damage := c.in.Packet(pkt)
	before := c.last
	c.last = moment{pkt.Timestamp, ticks, now}
	return damage, c.units(units, before.at)
}

func (c *coded) waiting() bool { return c.in.Waiting() }

func (c *coded) rate() *es.Rate { return c.w.Measure(c.in.Codec) }

func (c *coded) flush() (damage, fatal error) {
	units, damage := c.in.Flush()
	return damage, c.units(units, c.last.at)
}

// units writes units, some of which were complete before the last packet, at before.
func (c *coded) units(units []depacket.Unit, before time.Time) error {
	pts := duration(c.last.ticks, c.ticks)
	for _, u := range units {
		at := c.last.at
		if u.Held {
			at = before
		}
		c.stamp = c.last.stamp + uint32(ticksOf(u.Offset, c.ticks))
		if err := c.w.Write(c.in.Codec, pts+u.Offset, at, detach(u.Data)); err != nil {
			return err
		}
	}
	return nil
}

// codedSink receives what the writer of a track writes.
type codedSink coded

func (s *codedSink) Tracks(tracks []media.Track) {
	s.in.Track = tracks[0]
	s.changed()
}

func (s *codedSink) Write(f *media.Frame) {
	s.seen = true
	s.out(f, s.stamp)
}
