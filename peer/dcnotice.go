package peer

import (
	"context"
	"errors"
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

// Reason is why a viewer gets nothing, as the viewer is told it: one of a closed list (docs/viewers.md). What is behind
// it, a camera's address or an error of its own words, is for the log and the report.
type Reason string

// The reasons. Their texts are part of the interface to viewer apps.
const (
	ReasonSourceOffline     Reason = "source-offline"
	ReasonSourceUnsupported Reason = "source-unsupported"
	ReasonNoCommonCodec     Reason = "no-common-codec"
	ReasonViewerLimit       Reason = "viewer-limit"
	ReasonBusy              Reason = "busy"
	ReasonBadOffer          Reason = "bad-offer"
	ReasonInternal          Reason = "internal"
)

var sentences = map[Reason]string{
	ReasonSourceOffline:     "the camera gives no picture now; try again later",
	ReasonSourceUnsupported: "the camera does not give what this viewer needs",
	ReasonNoCommonCodec:     "the viewer takes none of the camera's video codecs",
	ReasonViewerLimit:       "all places for viewers are taken (max_viewers); try again later",
	ReasonBusy:              "too many viewers are connecting; try again in a few seconds",
	ReasonBadOffer:          "the offer cannot be answered",
	ReasonInternal:          "the agent has a fault",
}

// Text is the reason as viewers are told it: its code, a colon, and a sentence for people.
func (r Reason) Text() string {
	if s, ok := sentences[r]; ok {
		return string(r) + ": " + s
	}
	return ReasonInternal.Text()
}

// refusal is an error and the reason that a viewer is told in its place.
type refusal struct {
	Reason
	error
}

func (r refusal) Unwrap() error { return r.error }

// reasonOf is what a viewer is told of an error.
func reasonOf(err error) Reason {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.Reason
	}
	return ReasonInternal
}

// refuseByData refuses an offer in a way that leaves its data channel: every section of media is rejected, as in
// Refusal, and over the channel the viewer gets the reason. It takes noticeWithin at the most. It reports false, having
// sent nothing, when that cannot be.
func (c *Conn) refuseByData(ctx context.Context, o Offer, reason Reason) bool {
	if c.o.NoData || !DataAlone(o.SDP) {
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
		SDP: c.negotiation.steady(c.o.clean(o.SDP), "")}); err != nil {
		return false
	}
	c.setRemote(o.SDP)
	desc, err := l.pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: trickle})
	if err != nil || !strings.Contains(desc.SDP, "\nm=application 9 ") { // as of an offer that does not bundle
		return false
	}
	c.out.hold()
	answer := c.out.carryingData(c.negotiation.told(withMids(desc.SDP, o.SDP), true), o.SDP)
	answer = strings.Replace(answer, "\ns=-\r", "\ns="+sdp.SessionName(reason.Text())+"\r", 1)
	if l.pc.SetLocalDescription(desc) != nil {
		return false
	}
	c.negotiation.lastOffer, c.negotiation.lastAnswer = o.SDP, answer
	c.out.description(Answer{SDP: answer})
	if c.takeEarly(l) == nil {
		c.awaitNotice(ctx, l, transport.Notice{Action: noticeRefused, Reason: reason.Text(), Code: string(reason)})
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
