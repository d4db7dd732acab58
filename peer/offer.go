package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

// tracksWithin is how long an offer waits for the source's first tracks.
const tracksWithin = 12 * time.Second

var trickle = webrtc.OfferAnswerOptions{ICETricklingSupported: true}

// offer makes our first offer and sends it.
func (c *Conn) offer(ctx context.Context) error {
	tracks, err := c.sourceTracks(ctx)
	if err != nil {
		return err
	}
	set, err := c.offeredSet(tracks)
	if err != nil {
		return err
	}
	l, err := c.open(ctx, set)
	if err != nil {
		return err
	}
	if err := c.addTransceivers(l.pc, tracks); err != nil {
		return err
	}
	desc, err := l.pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	c.setOffered(true)
	c.out.description(Offer{SDP: desc.SDP}) // before the candidates, which come as soon as it is set
	c.reached(func(st *Stages) *time.Duration { return &st.Offer })
	if err := l.pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local offer: %w", err)
	}
	return nil
}

// offeredSet is the codecs of a first offer of ours.
func (c *Conn) offeredSet(tracks []media.Track) (*codecSet, error) {
	set, err := newCodecSet()
	if err != nil {
		return nil, err
	}
	for _, t := range tracks {
		if err := set.addTrack(t); err != nil {
			return nil, err
		}
	}
	if c.o.Receive {
		if err := set.addReceivable(); err != nil {
			return nil, err
		}
	}
	if c.o.Broadcast != nil {
		if err := set.addOthers(nil); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// sourceTracks is what we have to send, as soon as that is known.
func (c *Conn) sourceTracks(ctx context.Context) ([]media.Track, error) {
	if c.o.Broadcast == nil {
		return nil, nil
	}
	return c.o.Broadcast.waitTracks(ctx, Main, tracksWithin)
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
		recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := pc.AddTransceiverFromKind(kind, recvonly); err != nil {
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
	x := c.outgoing.add(outs, c.current().inbound)
	for _, out := range outs {
		tr, err := pc.AddTransceiverFromTrack(out, webrtc.RTPTransceiverInit{Direction: direction})
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", out.codec, err)
		}
		c.outgoing.listen(tr.Sender(), x)
		added[out.Kind()] = true
	}
	return added, nil
}
