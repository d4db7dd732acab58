package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

var trickle = webrtc.OfferAnswerOptions{ICETricklingSupported: true}

// offer makes our first offer and sends it.
func (c *Conn) offer(ctx context.Context) error {
	tracks, err := c.outgoing.sourceTracks(ctx)
	if err != nil {
		return err
	}
	set, err := c.o.offeredSet(tracks)
	if err != nil {
		return err
	}
	l, err := c.open(set, c.o.servers(ctx))
	if err != nil {
		return err
	}
	if err := c.outgoing.addTransceivers(l, tracks); err != nil {
		return err
	}
	desc, err := l.pc.CreateOffer(&webrtc.OfferOptions{OfferAnswerOptions: trickle})
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	c.progress.setOffered(true)
	c.out.description(Offer{SDP: desc.SDP}) // before the candidates, which come as soon as it is set
	c.progress.reached(func(st *Stages) *time.Duration { return &st.Offer })
	if err := l.pc.SetLocalDescription(desc); err != nil {
		return fmt.Errorf("set local offer: %w", err)
	}
	return nil
}

// offeredSet is the codecs of a first offer of ours.
func (o *Config) offeredSet(tracks []media.Track) (*codecSet, error) {
	set, err := newCodecSet()
	if err != nil {
		return nil, err
	}
	for _, t := range tracks {
		if err := set.addTrack(t); err != nil {
			return nil, err
		}
	}
	if o.Receive {
		if err := set.addReceivable(); err != nil {
			return nil, err
		}
	}
	if o.Broadcast != nil {
		if err := set.addOthers(nil); err != nil {
			return nil, err
		}
	}
	return set, nil
}
