package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/pion/webrtc/v4"
)

// gatherWithin is how long the description for a remote that does not trickle waits for candidates.
const gatherWithin = 2 * time.Second

// onOffer answers an offer: the first, a restart, one that came twice, or one that crosses ours.
func (c *Conn) onOffer(ctx context.Context, o Offer) error {
	l := c.current()
	if err := c.o.Engine.CheckOffer(o.SDP); err != nil {
		if l != nil {
			c.o.Log.Warn("offer ignored", "err", err)
			return nil
		}
		return &RefusedError{err}
	}
	if c.o.NoData {
		rest, left := withoutData(o.SDP)
		if rest == "" {
			return c.refuse(ctx, o, refusal{ReasonBadOffer, errors.New("it is for data channels alone")})
		}
		o.SDP = rest
		c.out.reject(left)
	}
	switch c.negotiation.judge(o.SDP, l != nil, l.firstOffer()) {
	case repeatAnswer:
		c.out.description(Answer{SDP: c.negotiation.lastAnswer})
		return nil
	case ignoreIt:
		c.o.Log.Warn("offer ignored", "err", "our own offer is under way, and stands")
		return nil
	case yieldToIt:
		c.negotiation.yield()
		return c.answer(ctx, l, o)
	case answerIt:
		return c.answer(ctx, l, o)
	case startOver: // nothing has come of our first offer yet
		l.close(&c.outgoing.work, c.guard)
		c.setLink(nil)
		c.outgoing.retireAll()
		c.negotiation.keepEarly(identityOf(o.SDP))
	}
	c.progress.reached(func(st *Stages) *time.Duration { return &st.Offer })
	l, err := c.openFor(ctx, o)
	if err != nil {
		return err
	}
	c.progress.setOffered(false)
	return c.answer(ctx, l, o)
}

// openFor makes the peer connection that fits a first offer.
func (c *Conn) openFor(ctx context.Context, o Offer) (*link, error) {
	offered, err := offeredCodecs(o.SDP)
	if err != nil {
		return nil, &RefusedError{err}
	}
	if c.o.Refuse != "" {
		return nil, c.refuse(ctx, o, refusal{c.o.Refuse, errors.New(c.o.Refuse.Text())})
	}
	tracks, err := c.outgoing.sourceTracks(ctx)
	if err != nil {
		return nil, c.refuse(ctx, o, refusal{ReasonSourceOffline, err})
	}
	if err := lacking(tracks, c.o.Needs); err != nil {
		return nil, c.refuse(ctx, o, refusal{ReasonSourceUnsupported, err})
	}
	if len(offered) == 0 {
		return nil, c.refuse(ctx, o, refusal{ReasonBadOffer, errors.New("the offer turns down all its sections")})
	}
	if _, video := offered["video"]; video {
		tracks = c.outgoing.withSub(ctx, tracks, offered["video"])
	}
	set, err := newCodecSet()
	if err != nil {
		return nil, err
	}
	if err := set.addUnused(offered["audio"]); err != nil {
		return nil, err
	}
	fitting, mute, err := set.fit(tracks, offered)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return nil, c.refuse(ctx, o, refusal{ReasonNoCommonCodec, refused.Reason})
	}
	if err != nil {
		return nil, err
	}
	if mute != "" {
		c.o.Log.Warn("no sound for this viewer", "viewer_takes", names(offered["audio"]), "source_gives", mute)
		c.negotiation.asked[mute] = true // in vain
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, wanted := offered[kind.String()]; !wanted {
			c.negotiation.ruleOut(kind)
		}
	}
	if c.o.Receive {
		if err := set.addReceivable(); err != nil {
			return nil, err
		}
	}
	if len(c.o.Needs) == 0 {
		if err := set.addOthers(offered); err != nil {
			return nil, err
		}
	}
	l, err := c.open(set, c.o.servers(ctx))
	if err != nil {
		return nil, err
	}
	_, err = c.outgoing.addTracks(l, fitting)
	return l, err
}

// refuse answers an offer with a refusal, which has the reason from the closed list, and gives the error that ends the
// connection. A viewer with a data channel is told there, too, if nothing has been made for it yet.
func (c *Conn) refuse(ctx context.Context, o Offer, why error) error {
	reason := reasonOf(why)
	if c.current() == nil && c.refuseByData(ctx, o, reason) {
		return &RefusedError{why}
	}
	c.out.description(Answer{SDP: Refusal(o.SDP, reason)})
	return &RefusedError{why}
}

// answer answers an offer on the connection that there is.
func (c *Conn) answer(ctx context.Context, l *link, o Offer) error {
	c.out.hold()
	if c.progress.is(Disconnected) && !c.negotiation.remote.SameICE(identityOf(o.SDP)) {
		// A restart gathers anew, and a relay takes no password that is too old.
		if err := l.freshServers(ctx, c.o.ICEServers); err != nil {
			return err
		}
	}
	if err := c.outgoing.admit(l, o.SDP, &c.negotiation); err != nil {
		return err
	}
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
		SDP: c.negotiation.steady(c.o.clean(o.SDP), "")}); errors.Is(err, webrtc.ErrConnectionClosed) {
		return err
	} else if err != nil {
		return c.refuse(ctx, o, refusal{ReasonBadOffer, fmt.Errorf("offer not understood: %w", err)})
	}
	c.setRemote(o.SDP)
	settle(l.pc)
	desc, err := l.pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: trickle})
	if errors.Is(err, webrtc.ErrConnectionClosed) {
		return err
	}
	if err != nil {
		return c.refuse(ctx, o, refusal{ReasonBadOffer, fmt.Errorf("no answer to this offer: %w", err)})
	}
	l.expect(negotiatedCodecs(desc.SDP))
	out := c.negotiation.told(c.outgoing.leveled(withMids(desc.SDP, o.SDP)), true)
	gathered := webrtc.GatheringCompletePromise(l.pc)
	trickles := l.pc.CanTrickleICECandidates() == webrtc.ICETrickleCapabilitySupported
	if trickles {
		c.out.description(Answer{SDP: out}) // before the candidates
	}
	if err := l.pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local answer: %w", err)
	}
	if !trickles {
		// RFC 8838 section 3: a remote that did not say that it can trickle gets the candidates in the description.
		waitFor(gathered, gatherWithin)
		out = shortened(c.negotiation.told(c.outgoing.leveled(withMids(l.pc.LocalDescription().SDP, o.SDP)), true))
		c.out.hold() // forgets those of before
		c.out.description(Answer{SDP: out})
	}
	c.negotiation.lastOffer, c.negotiation.lastAnswer = o.SDP, out
	return c.agreed(ctx, l)
}

// onAnswer takes the answer to an offer of ours.
func (c *Conn) onAnswer(ctx context.Context, a Answer) error {
	l := c.current()
	if c.negotiation.pending == nil && !l.firstOffer() {
		c.o.Log.Warn("answer ignored", "err", "there is no offer of ours that waits for one")
		return nil
	}
	if reason, refused := refusedBy(a.SDP); refused {
		return fmt.Errorf("the remote refused us: %s", reason)
	}
	if err := c.o.Engine.o.Limits.CheckSDP(a.SDP); err != nil {
		return &RefusedError{fmt.Errorf("answer refused: %w", err)}
	}
	if c.o.NoData {
		a.SDP, _ = withoutData(a.SDP)
	}
	if c.negotiation.another(a.SDP) {
		return ErrAnother
	}
	if pending := c.negotiation.answered(); pending != nil {
		c.recovery.onThere()
		if err := l.pc.SetLocalDescription(pending.desc); err != nil {
			return fmt.Errorf("set local offer: %w", err)
		}
	}
	ours := l.pc.LocalDescription().SDP
	answer := c.negotiation.steady(withMids(c.o.clean(a.SDP), ours), ours)
	takes, err := offeredCodecs(answer)
	if err != nil {
		return fmt.Errorf("answer not understood: %w", err)
	}
	mute, err := l.agree(takes)
	if err != nil {
		return err
	}
	if mute != "" {
		c.o.Log.Warn("no sound for this viewer", "viewer_takes", names(takes["audio"]), "source_gives", mute)
		c.negotiation.asked[mute] = true
	}
	l.expect(negotiatedCodecs(a.SDP))
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
		SDP: answer}); err != nil {
		return &RefusedError{fmt.Errorf("answer not understood: %w", err)}
	}
	c.setRemote(a.SDP)
	settle(l.pc)
	return c.agreed(ctx, l)
}

// agreed goes on after offer and answer have been exchanged.
func (c *Conn) agreed(ctx context.Context, l *link) error {
	c.progress.reached(func(st *Stages) *time.Duration { return &st.Answer })
	if err := c.takeEarly(l); err != nil {
		return err
	}
	c.outgoing.pause(l, &c.negotiation.flow)
	if err := c.syncTracks(ctx); err != nil {
		return err
	}
	return c.offerQueued(ctx)
}

// setRemote notes who the remote is. With new ICE credentials its candidates are counted anew.
func (c *Conn) setRemote(sdp string) {
	id := identityOf(sdp)
	newICE := !c.negotiation.remote.SameICE(id)
	c.negotiation.remote = id
	c.progress.know(id)
	c.recovery.onDescription(time.Now(), newICE, c.o.SetupTimeout)
	if newICE {
		c.negotiation.taken = 0
	}
}

// expect tells the receiver what was agreed on.
func (l *link) expect(codecs []media.Codec) {
	if l.receiver != nil {
		l.receiver.Expect(codecs)
	}
}

// clean is a description as Pion may see it.
func (o *Config) clean(text string) string {
	clean, surplus := withoutForbidden(text, o.Engine.rule(o.Trusted))
	if surplus > 0 {
		o.Log.Warn("a description names more candidates than are taken; the others are left out",
			"taken", sdp.MaxCandidates, "left_out", surplus)
	}
	return clean
}

// waitFor waits for done, but no longer than limit.
func waitFor(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
