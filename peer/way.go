package peer

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"
)

// chooseWay lets a sender's packets go straight into the shared socket when that is where ICE's chosen path begins, and follows ICE to other paths.
func (c *Conn) chooseWay(pc *webrtc.PeerConnection, s *sender) {
	if c.o.Engine.out == nil {
		return
	}
	c.mu.Lock()
	keys := c.keys
	c.mu.Unlock()
	cipher, err := keys.cipher()
	if err != nil {
		c.o.Log.Debug("media goes through pion", "why", err)
		return
	}
	ice := pc.SCTP().Transport().ICETransport()
	follow := func(pair *webrtc.ICECandidatePair) {
		to, ok := straight(pair)
		if ok {
			s.setDirect(c.o.Engine.out, &direct{cipher: cipher, to: to})
			return
		}
		if !s.setDirect(nil, nil) {
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

// straight says whether a path goes from the shared socket to the remote's address over UDP, and to which.
func straight(pair *webrtc.ICECandidatePair) (netip.AddrPort, bool) {
	l, r := pair.Local, pair.Remote
	if l.Typ != webrtc.ICECandidateTypeHost && l.Typ != webrtc.ICECandidateTypePrflx || l.Protocol != webrtc.ICEProtocolUDP || r.Protocol != webrtc.ICEProtocolUDP {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddr(r.Address)
	if err != nil || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, r.Port), true
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
