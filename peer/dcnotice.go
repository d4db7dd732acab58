package peer

import (
	"context"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// What we tell a viewer over the data channel that it has opened, in the manner of the service's own messages: one JSON
// object, its action first. Most clients open a channel by habit and show what comes (the pages of the KVS JS SDK do);
// nothing depends on it.
const (
	noticeRefused = "REFUSED" // with the reason: there is no picture for this viewer
	// The viewer should offer a restart of ICE, since our offers are not what it waits for.
	noticeRestart = "ICE_RESTART"
)

const (
	noticesAtOnce = 4               // refused viewers of one Engine: each costs a connection
	noticeWithin  = 5 * time.Second // ICE, DTLS, SCTP and the message
)

// refuseByData refuses an offer in a way that leaves its data channel: every section of media is rejected, as in
// Refusal, and over the channel the viewer gets the reason. It takes noticeWithin at the most. It reports false, having
// sent nothing, when that cannot be.
func (c *Conn) refuseByData(ctx context.Context, o Offer, reason string) bool {
	if !NegotiatesData(o.SDP) {
		return false
	}
	select {
	case c.o.Engine.notices <- struct{}{}:
		defer func() { <-c.o.Engine.notices }()
	default:
		return false
	}
	set, err := newCodecSet() // without codecs: Pion rejects all media
	if err != nil {
		return false
	}
	l, err := c.open(set, nil) // no TURN servers: a channel has 50 allocations for all its viewers
	if err != nil {
		return false
	}
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
		SDP: c.o.clean(o.SDP)}); err != nil {
		return false
	}
	c.setRemote(o.SDP)
	desc, err := l.pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return false
	}
	c.out.hold()
	answer := strings.Replace(withMids(desc.SDP, o.SDP), "\ns=-\r", "\ns="+sdp.SessionName(reason)+"\r", 1)
	if l.pc.SetLocalDescription(desc) != nil {
		return false
	}
	c.negotiation.lastOffer, c.negotiation.lastAnswer = o.SDP, answer
	c.out.description(Answer{SDP: answer})
	if c.takeEarly(l) == nil {
		c.awaitNotice(ctx, l, transport.Notice{Action: noticeRefused, Reason: reason})
	}
	return true
}

// awaitNotice waits for the data channel and until a notice over it has arrived.
func (c *Conn) awaitNotice(ctx context.Context, l *link, n transport.Notice) {
	ctx, cancel := context.WithTimeout(ctx, noticeWithin)
	defer cancel()
	ready, arrived := l.inbound.Opens(), make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake.c:
			if c.wake.take().has(broken) || l.ended() {
				return
			}
		case s := <-c.signals:
			switch s := s.(type) {
			case Candidate:
				if c.onCandidate(s) != nil {
					return
				}
			case Offer:
				if s.SDP == c.negotiation.lastOffer {
					c.out.description(Answer{SDP: c.negotiation.lastAnswer})
				}
			}
		case <-ready:
			ready = nil
			l.inbound.WhenSent(func() { // all of it has been acknowledged
				select {
				case arrived <- struct{}{}:
				default:
				}
			})
			if !l.inbound.Say(n) {
				return
			}
		case <-arrived:
			return
		}
	}
}

// ended says whether the peer connection is over.
func (l *link) ended() bool {
	s := l.pc.ConnectionState()
	return s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateClosed
}
