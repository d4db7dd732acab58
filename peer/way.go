package peer

import (
	"context"
	"errors"
	"time"

	"github.com/pion/webrtc/v4"
)

// chooseWay lets a sender's packets go straight into the socket where ICE's chosen path begins, when it is a plain UDP one, and follows ICE to other paths.
func (c *Conn) chooseWay(pc *webrtc.PeerConnection, s *sender) {
	c.mu.Lock()
	keys, sockets := c.keys, c.sockets
	c.mu.Unlock()
	if sockets == nil {
		return // a virtual network
	}
	cipher, err := keys.cipher()
	if err != nil {
		c.o.Log.Debug("media goes through pion", "why", err)
		return
	}
	ice := pc.SCTP().Transport().ICETransport()
	follow := func(pair *webrtc.ICECandidatePair) {
		if out, to := sockets.straight(pair); out != nil {
			s.setDirect(&direct{cipher: cipher, out: out, to: to})
			return
		}
		if !s.setDirect(nil) {
			c.fail(errors.New("the path moved to a relay; the viewer must come again"))
			return
		}
		c.o.Broadcast.demote(s)
	}
	ice.OnSelectedCandidatePairChange(follow)
	if pair, err := ice.GetSelectedCandidatePair(); err == nil && pair != nil {
		follow(pair)
	}
}

// reportUntil sends sender reports, the first at once, until ctx is done.
func reportUntil(ctx context.Context, pc *webrtc.PeerConnection, s *sender) {
	wait := reportEvery / 20 // the first frames are on their way
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if reports := s.reports(time.Now()); len(reports) > 0 && pc.WriteRTCP(reports) != nil {
			return
		}
		wait = reportEvery
	}
}
