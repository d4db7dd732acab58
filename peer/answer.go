package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/media"
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
	case startOver:
		c.startOver(l, o)
	}
	c.reached(func(st *Stages) *time.Duration { return &st.Offer })
	l, err := c.openFor(ctx, o)
	if err != nil {
		return err
	}
	c.setOffered(false)
	return c.answer(ctx, l, o)
}

// startOver drops our first offer, of which nothing has come yet. The connection starts over as the one that answers.
func (c *Conn) startOver(l *link, o Offer) {
	c.closeLink(l)
	c.mu.Lock()
	c.link = nil
	c.mu.Unlock()
	for _, x := range c.outgoing.all() {
		c.outgoing.retire(x)
	}
	c.negotiation.keepEarly(identityOf(o.SDP))
}

// openFor makes the peer connection that fits a first offer.
func (c *Conn) openFor(ctx context.Context, o Offer) (*link, error) {
	offered, err := offeredCodecs(o.SDP)
	if err != nil {
		return nil, &RefusedError{err}
	}
	if c.o.Refuse != "" {
		return nil, c.refuse(ctx, o, errors.New(c.o.Refuse))
	}
	tracks, err := c.sourceTracks(ctx)
	if err != nil {
		return nil, c.refuse(ctx, o, err)
	}
	if err := lacking(tracks, c.o.Needs); err != nil {
		return nil, c.refuse(ctx, o, err)
	}
	tracks = c.withSub(ctx, tracks, offered["video"])
	set, err := newCodecSet()
	if err != nil {
		return nil, err
	}
	if err := set.addUnused(offered["audio"]); err != nil {
		return nil, err
	}
	fitting, err := c.fit(set, tracks, offered)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return nil, c.refuse(ctx, o, refused.Reason)
	}
	if err != nil {
		return nil, err
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
	l, err := c.open(ctx, set)
	if err != nil {
		return nil, err
	}
	_, err = c.addTracks(l.pc, fitting)
	return l, err
}

// fit gives the tracks that the remote takes, and puts their codecs into the set in the remote's words. A picture that it does not take is
// a RefusedError.
func (c *Conn) fit(set *codecSet, tracks []media.Track, offered map[string][]remoteCodec) (fitting []media.Track, err error) {
	for _, t := range tracks {
		takes := offered[kindOf(t.Codec).String()]
		match, ok := matchCodec(t, takes)
		switch {
		case ok:
			if err := set.add(t.Codec, match.Fmtp); err != nil {
				return nil, err
			}
			fitting = append(fitting, t)
		case t.Codec.Video():
			return nil, &RefusedError{fmt.Errorf("no common video codec: the remote takes %s; the source gives %s; "+
				"hint: a browser without that codec cannot show this camera", names(takes), t.Codec)}
		case len(takes) > 0:
			c.o.Log.Warn("no sound for this viewer", "viewer_takes", names(takes), "source_gives", t.Codec)
			c.negotiation.asked[t.Codec] = true // in vain
		}
	}
	if len(offered["audio"]) == 0 {
		c.negotiation.ruleOut(webrtc.RTPCodecTypeAudio)
	}
	return fitting, nil
}

// withSub puts the smaller stream's video in the place of the main one's when the remote takes that alone: most browsers take no H.265, and
// cameras give H.264 beside it.
func (c *Conn) withSub(ctx context.Context, tracks []media.Track, offered []remoteCodec) []media.Track {
	b := c.o.Broadcast
	i := slices.IndexFunc(tracks, func(t media.Track) bool { return t.Codec.Video() })
	if i < 0 || !b.hasSub() {
		return tracks
	}
	if _, ok := matchCodec(tracks[i], offered); ok {
		return tracks
	}
	c.outgoing.joinSub()
	subs, err := b.waitTracks(ctx, Sub, tracksWithin)
	if err != nil {
		c.o.Log.Warn("the smaller stream, which this viewer could take, is not there", "err", err)
		return tracks
	}
	for _, sub := range subs {
		if _, ok := matchCodec(sub, offered); ok {
			c.outgoing.level = Sub
			tracks = slices.Clone(tracks)
			tracks[i] = sub
			return tracks
		}
	}
	return tracks
}

// refuse answers an offer with a refusal and gives the error that ends the connection. A viewer with a data channel is told there, too, if
// nothing has been made for it yet.
func (c *Conn) refuse(ctx context.Context, o Offer, reason error) error {
	if c.current() == nil && c.refuseByData(ctx, o, reason.Error()) {
		return &RefusedError{reason}
	}
	c.out.description(Answer{SDP: Refusal(o.SDP, reason.Error())})
	return &RefusedError{reason}
}

// answer answers an offer on the connection that there is.
func (c *Conn) answer(ctx context.Context, l *link, o Offer) error {
	c.out.hold()
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.clean(o.SDP)}); err != nil {
		return c.refuse(ctx, o, fmt.Errorf("offer not understood: %w", err))
	}
	c.setRemote(o.SDP)
	settle(l.pc)
	desc, err := l.pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return c.refuse(ctx, o, fmt.Errorf("no answer to this offer: %w", err))
	}
	l.expect(negotiatedCodecs(desc.SDP))
	out := c.directed(withMids(desc.SDP, o.SDP))
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
		out = shortened(c.directed(withMids(l.pc.LocalDescription().SDP, o.SDP)))
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
	if err := c.o.Engine.o.Limits.checkSDP(a.SDP); err != nil {
		return &RefusedError{fmt.Errorf("answer refused: %w", err)}
	}
	if pending := c.negotiation.answered(); pending != nil {
		if err := l.pc.SetLocalDescription(pending.desc); err != nil {
			return fmt.Errorf("set local offer: %w", err)
		}
	}
	answer := withMids(c.clean(a.SDP), l.pc.LocalDescription().SDP)
	if err := c.agree(l.pc, answer); err != nil {
		return err
	}
	l.expect(negotiatedCodecs(a.SDP))
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return &RefusedError{fmt.Errorf("answer not understood: %w", err)}
	}
	c.setRemote(a.SDP)
	settle(l.pc)
	return c.agreed(ctx, l)
}

// agreed goes on after offer and answer have been exchanged.
func (c *Conn) agreed(ctx context.Context, l *link) error {
	c.reached(func(st *Stages) *time.Duration { return &st.Answer })
	if err := c.takeEarly(l.pc); err != nil {
		return err
	}
	if err := c.syncTracks(ctx); err != nil {
		return err
	}
	return c.offerQueued(ctx)
}

// setRemote notes who the remote is. With new ICE credentials its candidates are counted anew.
func (c *Conn) setRemote(sdp string) {
	id := identityOf(sdp)
	c.mu.Lock()
	newICE := !c.remote.SameICE(id)
	c.remote = id
	c.mu.Unlock()
	c.recovery.onDescription(time.Now(), newICE, c.o.SetupTimeout)
	if newICE {
		c.negotiation.taken = 0
	}
}

// expect tells the receiver what was agreed on.
func (l *link) expect(codecs []media.Codec) {
	if l.receiver != nil {
		l.receiver.expect(codecs)
	}
}

// clean is a description as Pion may see it.
func (c *Conn) clean(sdp string) string { return withoutForbidden(sdp, c.o.Engine.rule(c.o.Trusted)) }

// directed writes into a description of ours what each section really does when we receive nothing: Pion agrees to receive whenever the
// remote would like to send, and promises to send where it has no track. A page that is told of a track without a stream shows that in
// place of the picture.
func (c *Conn) directed(sdp string) string {
	if c.o.Receive {
		return sdp
	}
	sections := strings.Split(sdp, "\nm=")
	for i, section := range sections {
		if i == 0 || strings.HasPrefix(section, "application") {
			continue
		}
		direction := "\na=inactive\r"
		if strings.Contains(section, "\na=msid:") || strings.Contains(section, "\na=ssrc:") {
			direction = "\na=sendonly\r"
		}
		written := strings.NewReplacer("\na=sendrecv\r", direction, "\na=sendonly\r", direction, "\na=recvonly\r", direction)
		sections[i] = written.Replace(section)
	}
	return strings.Join(sections, "\nm=")
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
