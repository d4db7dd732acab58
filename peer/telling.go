package peer

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// What we tell a viewer over the data channel that it has opened, in the manner of the service's own messages: one JSON object, its action first. Most clients
// open a channel by habit and show what comes (the pages of the KVS JS SDK do); nothing depends on it.
const (
	tellRefused = "REFUSED"     // with the reason: there is no picture for this viewer
	tellRestart = "ICE_RESTART" // the viewer should offer a restart of ICE, since our offers are not what it waits for
)

type notice struct {
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
}

const (
	tellingAtOnce = 4               // refused viewers of one Engine: each costs a connection
	tellingWithin = 5 * time.Second // ICE, DTLS, SCTP and the message
	unreadMost    = 16 << 10        // bytes that a viewer has not taken yet, beyond which nothing more is told
)

// say tells the remote something, and reports whether it has a data channel for that. It does not wait.
func (in *inbound) say(n notice) bool {
	in.mu.Lock()
	d := in.talk
	in.mu.Unlock()
	if d == nil || d.BufferedAmount() > unreadMost {
		return false
	}
	text, err := json.Marshal(n)
	return err == nil && d.SendText(string(text)) == nil
}

// opened takes the first data channel that is open for talking.
func (in *inbound) opened(d *webrtc.DataChannel) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.talk == nil {
		in.talk = d
		close(in.ready)
	}
}

// NegotiatesData says whether an offer has a section for data channels.
func NegotiatesData(offer string) bool {
	return strings.Contains(offer, "\nm=application ") && !strings.Contains(offer, "\nm=application 0 ")
}

// tell refuses an offer in a way that leaves its data channel: every section of media is rejected, as in Refusal, and over the channel the viewer gets the reason. It
// takes tellingWithin at the most. It reports false, having sent nothing, when that cannot be.
func (c *Conn) tell(ctx context.Context, o Offer, reason string) bool {
	if !NegotiatesData(o.SDP) {
		return false
	}
	select {
	case c.o.Engine.telling <- struct{}{}:
		defer func() { <-c.o.Engine.telling }()
	default:
		return false
	}
	set, err := newCodecSet() // without codecs: Pion rejects all media
	if err != nil {
		return false
	}
	pc, err := c.openWith(set, nil) // no TURN servers: a channel has 50 allocations for all its viewers
	if err != nil {
		return false
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.clean(o.SDP)}); err != nil {
		return false
	}
	c.setRemote(o.SDP)
	desc, err := pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		return false
	}
	c.out.hold()
	answer := strings.Replace(withMids(desc.SDP, o.SDP), "\ns=-\r", "\ns="+sessionName(reason)+"\r", 1)
	if pc.SetLocalDescription(desc) != nil {
		return false
	}
	c.out.description(Answer{SDP: answer})
	if c.takeEarly(pc) == nil {
		c.untilTold(ctx, o, answer, reason)
	}
	return true
}

// untilTold waits for the data channel and until the message over it has arrived.
func (c *Conn) untilTold(ctx context.Context, o Offer, answer, reason string) {
	limit := time.NewTimer(tellingWithin)
	defer limit.Stop()
	in := c.inbound
	ready, arrived := in.ready, make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			return
		case <-c.broken:
			return
		case <-c.wake:
			switch c.connection().ConnectionState() {
			case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
				return
			}
		case s := <-c.signals:
			switch s := s.(type) {
			case Candidate:
				if c.onCandidate(s) != nil {
					return
				}
			case Offer:
				if s.SDP == o.SDP {
					c.out.description(Answer{SDP: answer})
				}
			}
		case <-ready:
			ready = nil
			in.talk.OnBufferedAmountLow(func() { // all of it has been acknowledged
				select {
				case arrived <- struct{}{}:
				default:
				}
			})
			if !in.say(notice{tellRefused, reason}) {
				return
			}
		case <-arrived:
			return
		}
	}
}
