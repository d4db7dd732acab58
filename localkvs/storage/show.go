package storage

import (
	"fmt"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// show lets a viewer watch over the call.
func show(c *call, ch *channel) error {
	for _, out := range []*outlet{ch.video, ch.audio} {
		t, err := c.pc.AddTransceiverFromTrack(out.track,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return fmt.Errorf("track %s: %w", out.track.ID(), err)
		}
		c.work.Go(func() { feedback(t.Sender(), ch) })
	}
	c.onAnswer = func() error {
		ch.keyWanted.Store(true)
		return c.agreed("recvonly")
	}
	return nil
}

// feedback reads a viewer's RTCP about a track, until its connection is closed.
func feedback(from *webrtc.RTPSender, ch *channel) {
	for {
		packets, _, err := from.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				ch.keyWanted.Store(true)
			}
		}
	}
}
