package peer

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// chooseWay lets a sender's packets go straight into the socket where ICE's chosen path begins, when it is a plain UDP one, and follows ICE to other paths.
func (c *Conn) chooseWay(pc *webrtc.PeerConnection, x *sending) {
	c.mu.Lock()
	keys, sockets := c.keys, c.sockets
	c.mu.Unlock()
	ice := pc.SCTP().Transport().ICETransport()
	ice.OnSelectedCandidatePairChange(c.onPath)
	if sockets.shared == nil {
		return // a virtual network
	}
	cipher, open, err := keys.ciphers()
	if err != nil {
		c.o.Log.Debug("media goes through pion", "why", err)
		return
	}
	if c.taker == nil {
		c.taker = &taker{open: open, in: c.inbound, on: c.onReport}
	}
	reports := c.taker
	path := func(pair *webrtc.ICECandidatePair) {
		out, to := sockets.straight(pair)
		if out == sockets.shared {
			c.o.Engine.in.route(reports, to)
		} else {
			c.o.Engine.in.route(reports, netip.AddrPort{})
		}
		if out != nil {
			x.setDirect(&direct{cipher: cipher, out: out, to: to})
			return
		}
		if !x.setDirect(nil) {
			c.fail(errors.New("the path moved to a relay; the viewer must come again"))
			return
		}
		c.o.Broadcast.demote(x.sender)
	}
	c.mu.Lock()
	x.path = path
	c.mu.Unlock()
	if pair, err := ice.GetSelectedCandidatePair(); err == nil && pair != nil {
		path(pair)
	}
}

// onReport hands a report to all senders, each of which knows its own.
func (c *Conn) onReport(p rtcp.Packet, again *arena) {
	for _, x := range c.senders() {
		x.onRTCP(p, again)
	}
}

// onPath tells all senders that ICE has chosen another path.
func (c *Conn) onPath(pair *webrtc.ICECandidatePair) {
	for _, x := range c.senders() {
		x.moved(reachOf(pair), pair.Remote.Address)
		c.mu.Lock()
		path := x.path
		c.mu.Unlock()
		if path != nil {
			path(pair)
		}
	}
}

// reachOf tells how far away the remote is; nil is far.
func reachOf(pair *webrtc.ICECandidatePair) reach {
	if pair == nil {
		return far
	}
	if pair.Local.Typ == webrtc.ICECandidateTypeRelay || pair.Remote.Typ == webrtc.ICECandidateTypeRelay {
		return relayed
	}
	if a, err := netip.ParseAddr(pair.Remote.Address); err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
		return near
	}
	return far
}

// tend sends sender reports, the first at once, and follows what the remote tells of its path, until ctx is done.
func tend(ctx context.Context, pc *webrtc.PeerConnection, s *sender) {
	defer s.keepSub(false)
	report := time.NewTimer(reportEvery / 20) // the first frames are on their way
	defer report.Stop()
	s.adapt(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
			s.adapt(ctx, time.Now())
			continue
		case <-report.C:
			report.Reset(reportEvery)
		}
		if reports := s.reports(time.Now()); len(reports) > 0 && pc.WriteRTCP(reports) != nil {
			return
		}
	}
}
