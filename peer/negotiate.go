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

// Takes tells whether an offer is for this connection: it comes from its remote, as a duplicate or to restart ICE (RFC 8839 section
// 4.4.1.1.1) or to negotiate again, or it crosses our own first offer. If not, a page was reloaded under the same client id, and this
// connection is to be replaced.
func (c *Conn) Takes(offer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote.fingerprint == "" || c.remote.same(identityOf(offer))
}

// offer makes our offer and sends it.
func (c *Conn) offer(ctx context.Context) error {
	tracks, err := c.sourceTracks(ctx)
	if err != nil {
		return err
	}
	set, err := newCodecSet()
	if err != nil {
		return err
	}
	for _, t := range tracks {
		if err := set.addTrack(t); err != nil {
			return err
		}
	}
	if c.o.Receive {
		if err := set.addReceivable(); err != nil {
			return err
		}
	}
	if c.o.Broadcast != nil {
		if err := set.addOthers(nil); err != nil {
			return err
		}
	}
	pc, err := c.open(ctx, set)
	if err != nil {
		return err
	}
	if err := c.addTransceivers(pc, tracks); err != nil {
		return err
	}
	desc, err := pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	c.setOffered(true)
	c.out.description(Offer{SDP: desc.SDP}) // before the candidates, which come as soon as it is set
	c.reached(func(st *Stages) *time.Duration { return &st.Offer })
	if err := pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local offer: %w", err)
	}
	return nil
}

// addTransceivers adds what we send, and what we only receive, in the order video, audio.
func (c *Conn) addTransceivers(pc *webrtc.PeerConnection, tracks []media.Track) error {
	out, err := c.addTracks(pc, tracks)
	if err != nil || !c.o.Receive {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if out[kind] {
			continue
		}
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return fmt.Errorf("add %s: %w", kind, err)
		}
	}
	return nil
}

// addTracks adds what we send.
func (c *Conn) addTracks(pc *webrtc.PeerConnection, tracks []media.Track) (map[webrtc.RTPCodecType]bool, error) {
	added := map[webrtc.RTPCodecType]bool{}
	if len(tracks) == 0 {
		return added, nil
	}
	direction := webrtc.RTPTransceiverDirectionSendonly
	if c.o.Receive {
		direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	var outs []*outTrack
	for _, t := range tracks {
		outs = append(outs, newOutTrack(t.Codec))
	}
	x := c.newSender(outs)
	for _, out := range outs {
		tr, err := pc.AddTransceiverFromTrack(out, webrtc.RTPTransceiverInit{Direction: direction})
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", out.codec, err)
		}
		c.listen(tr.Sender(), x)
		added[out.Kind()] = true
	}
	return added, nil
}

// sourceTracks is what we have to send, as soon as that is known.
func (c *Conn) sourceTracks(ctx context.Context) ([]media.Track, error) {
	if c.o.Broadcast == nil {
		return nil, nil
	}
	return c.o.Broadcast.waitTracks(ctx, Main, tracksWithin)
}

// open makes the peer connection and hangs our callbacks on it.
func (c *Conn) open(ctx context.Context, set *codecSet) (*webrtc.PeerConnection, error) {
	var servers []ICEServer
	if c.o.ICEServers != nil {
		servers = c.o.ICEServers(ctx)
	}
	return c.openWith(set, servers)
}

func (c *Conn) openWith(set *codecSet, servers []ICEServer) (*webrtc.PeerConnection, error) {
	var keys *srtpKeys
	if c.o.Broadcast != nil {
		keys = &srtpKeys{}
	}
	own := c.o.Engine.newSockets(c.relayRefused)
	in := &inbound{limits: c.o.Engine.o.Limits, receive: c.o.Receive, fail: c.fail, ready: make(chan struct{})}
	pc, err := c.o.Engine.connection(set, servers, c.policy(), keys, own, in)
	if err != nil {
		own.close()
		return nil, err
	}
	pc.OnICECandidate(func(cand *webrtc.ICECandidate) {
		if cand == nil {
			return // no client wants to be told of the end
		}
		init := cand.ToJSON()
		c.setSection(init)
		c.out.candidate(Candidate{Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex})
	})
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { c.poke() })
	pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { c.poke() })
	pc.OnDataChannel(in.channel)
	r := newReceiver(c.o.Sink, c.o.Epoch, c.onFrame)
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if c.o.Receive {
			r.run(t, askKeyFrame(pc))
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pc, c.keys, c.sockets, c.inbound = pc, keys, own, in
	if c.o.Receive {
		c.receiver = r
	}
	return pc, nil
}

// onOffer answers an offer: the first, a restart, one that came twice, or one that crosses ours.
func (c *Conn) onOffer(ctx context.Context, o Offer) error {
	pc := c.connection()
	if err := c.o.Engine.CheckOffer(o.SDP); err != nil {
		if pc != nil {
			c.o.Log.Warn("offer ignored", "err", err)
			return nil
		}
		return &RefusedError{err}
	}
	if pc != nil && o.SDP == c.lastIn {
		c.out.description(Answer{SDP: c.lastOut})
		return nil
	}
	if pc != nil && c.underWay(pc) {
		if !c.cross(pc, o) {
			c.o.Log.Warn("offer ignored", "err", "our own offer is under way, and stands")
			return nil
		}
		pc = c.connection()
	}
	if pc == nil {
		c.reached(func(st *Stages) *time.Duration { return &st.Offer })
		var err error
		if pc, err = c.openFor(ctx, o); err != nil {
			return err
		}
		c.setOffered(false)
	}
	return c.answer(ctx, pc, o)
}

// openFor makes the peer connection that fits a first offer.
func (c *Conn) openFor(ctx context.Context, o Offer) (*webrtc.PeerConnection, error) {
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
	var fitting []media.Track
	for _, t := range tracks {
		kind := "audio"
		if t.Codec.Video() {
			kind = "video"
		}
		match, ok := matchCodec(t, offered[kind])
		switch {
		case ok:
			if err := set.add(t.Codec, match.fmtp); err != nil {
				return nil, err
			}
			fitting = append(fitting, t)
		case t.Codec.Video():
			return nil, c.refuse(ctx, o, fmt.Errorf("no common video codec: the remote takes %s; the source gives %s; hint: a browser without that codec cannot show this camera",
				names(offered[kind]), t.Codec))
		case len(offered[kind]) > 0:
			c.o.Log.Warn("no sound for this viewer", "viewer_takes", names(offered[kind]), "source_gives", t.Codec)
			c.asking.asked[t.Codec] = true // in vain
		}
	}
	if len(offered["audio"]) == 0 {
		c.asking.never(webrtc.RTPCodecTypeAudio)
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
	pc, err := c.open(ctx, set)
	if err != nil {
		return nil, err
	}
	_, err = c.addTracks(pc, fitting)
	return pc, err
}

// withSub puts the smaller stream's video in the place of the main one's when the remote takes that alone: most browsers take no H.265, and cameras give
// H.264 beside it.
func (c *Conn) withSub(ctx context.Context, tracks []media.Track, offered []remoteCodec) []media.Track {
	b := c.o.Broadcast
	i := slices.IndexFunc(tracks, func(t media.Track) bool { return t.Codec.Video() })
	if i < 0 || !b.hasSub() {
		return tracks
	}
	if _, ok := matchCodec(tracks[i], offered); ok {
		return tracks
	}
	if c.leaveSub == nil {
		c.leaveSub = b.join(Sub)
	}
	subs, err := b.waitTracks(ctx, Sub, tracksWithin)
	if err != nil {
		c.o.Log.Warn("the smaller stream, which this viewer could take, is not there", "err", err)
		return tracks
	}
	for _, sub := range subs {
		if _, ok := matchCodec(sub, offered); ok {
			c.level = Sub
			tracks = slices.Clone(tracks)
			tracks[i] = sub
			return tracks
		}
	}
	return tracks
}

// refuse answers an offer with a refusal and gives the error that ends the connection. A viewer with a data channel is told there, too, if nothing has been made
// for it yet.
func (c *Conn) refuse(ctx context.Context, o Offer, reason error) error {
	if c.connection() == nil && c.tell(ctx, o, reason.Error()) {
		return &RefusedError{reason}
	}
	c.out.description(Answer{SDP: Refusal(o.SDP, reason.Error())})
	return &RefusedError{reason}
}

func (c *Conn) answer(ctx context.Context, pc *webrtc.PeerConnection, o Offer) error {
	c.out.hold()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.clean(o.SDP)}); err != nil {
		return c.refuse(ctx, o, fmt.Errorf("offer not understood: %w", err))
	}
	c.setRemote(o.SDP)
	settle(pc)
	desc, err := pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		return c.refuse(ctx, o, fmt.Errorf("no answer to this offer: %w", err))
	}
	c.received().expect(negotiatedCodecs(desc.SDP))
	answer := c.directed(withMids(desc.SDP, o.SDP))
	gathered := webrtc.GatheringCompletePromise(pc)
	trickles := pc.CanTrickleICECandidates() == webrtc.ICETrickleCapabilitySupported
	if trickles {
		c.out.description(Answer{SDP: answer}) // before the candidates
	}
	if err := pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local answer: %w", err)
	}
	out := answer
	if !trickles {
		// RFC 8838 section 3: a remote that did not say that it can trickle gets the candidates in the description.
		waitFor(gathered, gatherWithin)
		out = shortened(c.directed(withMids(pc.LocalDescription().SDP, o.SDP)))
		c.out.hold() // forgets those of before
		c.out.description(Answer{SDP: out})
	}
	c.lastIn, c.lastOut = o.SDP, out
	c.reached(func(st *Stages) *time.Duration { return &st.Answer })
	if err := c.takeEarly(pc); err != nil {
		return err
	}
	return c.follow(ctx)
}

func (c *Conn) onAnswer(ctx context.Context, a Answer) error {
	pc := c.connection()
	if pc == nil || !c.underWay(pc) {
		c.o.Log.Warn("answer ignored", "err", "there is no offer of ours that waits for one")
		return nil
	}
	if reason, refused := refusedBy(a.SDP); refused {
		return fmt.Errorf("the remote refused us: %s", reason)
	}
	if err := c.o.Engine.o.Limits.checkSDP(a.SDP); err != nil {
		return &RefusedError{fmt.Errorf("answer refused: %w", err)}
	}
	if err := c.applyPending(pc); err != nil {
		return err
	}
	answer := withMids(c.clean(a.SDP), pc.LocalDescription().SDP)
	if err := c.agree(pc, answer); err != nil {
		return err
	}
	c.received().expect(negotiatedCodecs(a.SDP))
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return &RefusedError{fmt.Errorf("answer not understood: %w", err)}
	}
	c.setRemote(a.SDP)
	settle(pc)
	c.reached(func(st *Stages) *time.Duration { return &st.Answer })
	if err := c.takeEarly(pc); err != nil {
		return err
	}
	return c.follow(ctx)
}

// clean is a description as Pion may see it.
func (c *Conn) clean(sdp string) string { return withoutForbidden(sdp, c.o.Engine.rule(c.o.Trusted)) }

// setRemote notes who the remote is. With new ICE credentials its candidates are counted anew.
func (c *Conn) setRemote(sdp string) {
	c.alive()
	id := identityOf(sdp)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.remote.sameICE(id) {
		c.unmoved.Stop()
		c.begged.Stop()
		c.taken = 0
	}
	c.remote = id
}

func (c *Conn) setOffered(byUs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offered = byUs
}

// knows says whether an ICE user name is in the remote's description.
func (c *Conn) knows(ufrag string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote.has(ufrag)
}

// received is what takes the remote's media; nil when nothing does.
func (c *Conn) received() *receiver {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receiver
}

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
		sections[i] = strings.NewReplacer("\na=sendrecv\r", direction, "\na=sendonly\r", direction, "\na=recvonly\r", direction).Replace(section)
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
