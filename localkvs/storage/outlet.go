package storage

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// channel holds what the sessions of one channel share: the tracks that viewers see.
type channel struct {
	sessions int // guarded by the store's mutex

	video, audio *outlet
	keyWanted    atomic.Bool // a viewer needs a key frame
}

func newChannel() (*channel, error) {
	v, err := newOutlet(video, "video", videoRate/30)
	if err != nil {
		return nil, err
	}
	a, err := newOutlet(audio, "audio", audioRate/50)
	if err != nil {
		return nil, err
	}
	return &channel{video: v, audio: a}, nil
}

// outlet is a track that continues when its master joins again, with continuous sequence numbers and times.
type outlet struct {
	track *webrtc.TrackLocalStaticRTP
	step  uint32 // ticks between the last packet of one master and the first of the next

	mu   sync.Mutex // guards the fields below, and keeps packets in order
	from *webrtc.TrackRemote
	seq  uint16 // added to sequence numbers
	time uint32 // added to times
	next uint16
	last uint32
}

func newOutlet(codec webrtc.RTPCodecCapability, name string, step uint32) (*outlet, error) {
	t, err := webrtc.NewTrackLocalStaticRTP(codec, name, "master")
	if err != nil {
		return nil, fmt.Errorf("track %s: %w", name, err)
	}
	return &outlet{track: t, step: step}, nil
}

// forward sends a packet to every viewer. A viewer only misses one when its connection is closed.
func (o *outlet) forward(from *webrtc.TrackRemote, p *rtp.Packet) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if from != o.from {
		o.from, o.seq, o.time = from, o.next-p.SequenceNumber, o.last+o.step-p.Timestamp
	}
	h := p.Header
	// Agreed with the master, not with viewers.
	h.Extension, h.ExtensionProfile, h.Extensions, h.CSRC = false, 0, nil, nil
	h.Padding, h.PaddingSize = false, 0
	h.SequenceNumber += o.seq
	h.Timestamp += o.time
	o.next, o.last = h.SequenceNumber+1, h.Timestamp
	return o.track.WriteRTP(&rtp.Packet{Header: h, Payload: p.Payload})
}
