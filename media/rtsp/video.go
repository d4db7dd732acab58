package rtsp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// maxUnitPackets limits the RTP packets of one access unit, and with them what fragments of one byte each can make us
// hold. 8 MiB, the limit of its size, is 6,000 packets of usual length.
const maxUnitPackets = 16384

var (
	errBFrames = errors.New("the camera sends B-frames, which WebRTC cannot carry")
	errPackets = fmt.Errorf("access unit of more than %d packets", maxUnitPackets)
)

// video turns the RTP packets of one H.264 track into frames. It is used by one goroutine at a time.
type video struct {
	params  h264.Params
	mode    int // packetization-mode
	decoder *rtph264.Decoder
	clock   clock
	out     output
	changed func() // the parameter sets are new; called before the frame that has them

	packets int    // since the last access unit
	unitTS  uint32 // RTP timestamp of the unit that is being put together
	unitPTS int64  // in ticks, likewise
	open    bool   // whether there is one
	keyed   bool   // whether a key frame was written
}

func newVideo(forma *format.H264) (*video, error) {
	v := &video{mode: forma.PacketizationMode, clock: clock{rate: int64(forma.ClockRate())}, changed: func() {}}
	v.params.Set(forma.SPS, forma.PPS)
	v.params.Settle()
	if sps := v.params.SPS(); sps != nil {
		if err := h264.Playable(sps); err != nil {
			return nil, err
		}
	}
	return v, v.reset()
}

// reset forgets the unit that is being put together.
func (v *video) reset() error {
	v.decoder = &rtph264.Decoder{PacketizationMode: v.mode}
	v.packets, v.open = 0, false
	return v.decoder.Init()
}

func (v *video) shown() bool { return v.keyed }

// track describes the video as far as it is known.
func (v *video) track() media.Track {
	t := media.Track{Codec: media.H264, SPS: v.params.SPS(), PPS: v.params.PPS()}
	t.Width, t.Height = v.params.Size()
	return t
}

// packet takes one RTP packet that came in at now, with its time in ticks. damage is what is wrong with the packet,
// which costs no more than a frame; fatal ends the session.
func (v *video) packet(pkt *rtp.Packet, ticks int64, now time.Time) (damage, fatal error) {
	if v.packets++; v.packets > maxUnitPackets {
		return errPackets, v.reset()
	}
	au, err := v.decoder.Decode(pkt)
	unit := v.time(pkt, ticks, au != nil)
	switch {
	case errors.Is(err, rtph264.ErrMorePacketsNeeded), errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious):
		return nil, nil
	case err != nil:
		return err, nil
	}
	v.packets = 0
	return nil, v.unit(au, unit, pkt.Timestamp-uint32(ticks-unit), now)
}

// time returns the ticks of the access unit that pkt completes. A camera that sets no marker bits ends a unit with the
// first packet of the next one, so the unit's time is not that of the packet.
func (v *video) time(pkt *rtp.Packet, ticks int64, complete bool) int64 {
	unit := ticks
	if v.open && v.unitTS != pkt.Timestamp {
		if complete {
			unit = v.unitPTS
		}
		v.open = false
	}
	if !v.open {
		v.unitTS, v.unitPTS = pkt.Timestamp, ticks
	}
	v.open = !pkt.Marker || unit != ticks
	return unit
}

// unit takes one access unit, with its time in ticks and its RTP timestamp.
func (v *video) unit(au [][]byte, ticks int64, stamp uint32, now time.Time) error {
	u, ok := v.params.Next(au)
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
