package rtsp

import (
	"bytes"
	"errors"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

var errBFrames = errors.New("the camera sends B-frames, which WebRTC cannot carry")

// video turns the RTP packets of one H.264 track into frames. It is used by one goroutine at a time.
type video struct {
	params  h264.Params
	in      *depacket.Track
	clock   clock
	out     output
	changed func() // the parameter sets are new; called before the frame that has them

	last  moment    // of the packet before
	keyed bool      // whether a key frame was written
	idr   time.Time // when the last IDR picture came, or else the first picture
}

// refreshAfter is how long there is no IDR picture until a recovery point is a place to begin, too: with intra refresh
// there is none. It shows the whole picture only after a while, so IDR pictures that come are better.
const refreshAfter = 5 * time.Second

// moment is when a packet was made and when it arrived.
type moment struct {
	stamp uint32
	ticks int64
	at    time.Time
}

func newVideo(forma *format.H264) (*video, error) {
	in, err := depacket.New(forma)
	if err != nil {
		return nil, err
	}
	v := &video{in: in, clock: clock{rate: int64(forma.ClockRate())}, changed: func() {}}
	v.params.Set(forma.SPS, forma.PPS)
	v.params.Settle()
	if sps := v.params.SPS(); sps != nil {
		if err := h264.Playable(sps); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *video) shown() bool { return v.keyed }

// track describes the video as far as it is known.
func (v *video) track() media.Track {
	t := media.Track{Codec: media.H264, SPS: v.params.SPS(), PPS: v.params.PPS()}
	t.Width, t.Height = v.params.Size()
	return t
}

// packet takes one RTP packet that came in at now, with its time in ticks. damage is what is wrong with the stream,
// which costs no more than a frame; fatal ends the session.
func (v *video) packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	units, damage := v.in.Packet(pkt)
	before := v.last
	v.last = moment{pkt.Timestamp, ticks, now}
	return damage, v.units(units, before.at)
}

func (v *video) waiting() bool { return v.in.Waiting() }

func (v *video) rate() *es.Rate { return v.clock.measured() }

func (v *video) flush() (damage, fatal error) {
	units, damage := v.in.Flush()
	return damage, v.units(units, v.last.at)
}

// units takes access units, some of which were complete before the last packet, at before.
func (v *video) units(units []depacket.Unit, before time.Time) error {
	for _, u := range units {
		ticks := ticksOf(u.Offset, v.clock.rate)
		at := v.last.at
		if u.Held {
			at = before
		}
		if err := v.unit(u.Data, v.last.ticks+ticks, v.last.stamp+uint32(ticks), at); err != nil {
			return err
		}
	}
	return nil
}

// unit takes one access unit that came at now, with its time in ticks and its RTP timestamp.
func (v *video) unit(au [][]byte, ticks int64, stamp uint32, now time.Time) error {
	u, ok := v.params.Next(au)
	if ok && (u.Key || v.idr.IsZero()) {
		v.idr = now
	}
	if ok && !u.Key && now.Sub(v.idr) >= refreshAfter && h264.Recovers(u.NALs) {
		u, ok = v.params.Enter(u)
	}
	if !ok || !u.Key && !v.keyed {
		return nil
	}
	pts, back := v.clock.pts(ticks, now)
	if back && h264.Bidirectional(u.NALs) {
		return errBFrames
	}
	if u.Changed {
		if err := h264.Playable(v.params.SPS()); err != nil {
			return err
		}
		v.changed()
	}
	v.keyed = true
	v.out(&media.Frame{Codec: media.H264, PTS: pts, Captured: now, Key: u.Key, Data: detach(u.NALs)}, stamp)
	return nil
}

// detach copies the NAL units of a frame that are a small part of the memory they sit in: a fragment of a packet of 64
// KiB must not keep it all alive in everybody's cache.
func detach(nals [][]byte) [][]byte {
	for i, nal := range nals {
		if cap(nal) > 2*len(nal)+1024 {
			nals[i] = bytes.Clone(nal)
		}
	}
	return nals
}
