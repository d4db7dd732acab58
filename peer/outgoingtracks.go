package peer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/webrtc/v4"
)

// tracksWithin is how long a description waits for the source's first tracks.
const tracksWithin = 12 * time.Second

// sourceTracks is what we have to send, as soon as that is known.
func (g *outgoing) sourceTracks(ctx context.Context) ([]media.Track, error) {
	if g.b == nil {
		return nil, nil
	}
	return g.b.WaitTracks(ctx, fanout.Main, tracksWithin)
}

// withSub puts the smaller stream's video in the place of the main one's when the remote takes that alone: most browsers take no H.265, and
// cameras give H.264 beside it.
func (g *outgoing) withSub(ctx context.Context, tracks []media.Track, offered []remoteCodec) []media.Track {
	i := slices.IndexFunc(tracks, func(t media.Track) bool { return t.Codec.Video() })
	if i < 0 || !g.b.HasSub() {
		return tracks
	}
	if _, ok := matchCodec(tracks[i], offered); ok {
		return tracks
	}
	g.joinSub()
	subs, err := g.b.WaitTracks(ctx, fanout.Sub, tracksWithin)
	if err != nil {
		g.log.Warn("the smaller stream, which this viewer could take, is not there", "err", err)
		return tracks
	}
	takes := func(t media.Track) bool {
		_, ok := matchCodec(t, offered)
		return ok
	}
	g.level = fanout.Choose(fanout.Circumstances{Levels: [2]fanout.LevelState{{There: true, Fit: fanout.FitOf(tracks, takes)}, {There: true, Fit: fanout.FitOf(subs, takes)}}}).Target
	if g.level == fanout.Sub {
		tracks = slices.Clone(tracks)
		tracks[i] = subs[slices.IndexFunc(subs, func(t media.Track) bool { return t.Codec.Video() })]
	}
	return tracks
}

// addTransceivers adds what we send, and what we only receive, in the order video, audio.
func (g *outgoing) addTransceivers(l *link, tracks []media.Track) error {
	out, err := g.addTracks(l, tracks)
	if err != nil || !g.receive {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if out[kind] {
			continue
		}
		recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := l.pc.AddTransceiverFromKind(kind, recvonly); err != nil {
			return fmt.Errorf("add %s: %w", kind, err)
		}
	}
	return nil
}

// addTracks adds what we send.
func (g *outgoing) addTracks(l *link, tracks []media.Track) (map[webrtc.RTPCodecType]bool, error) {
	added := map[webrtc.RTPCodecType]bool{}
	if len(tracks) == 0 {
		return added, nil
	}
	direction := webrtc.RTPTransceiverDirectionSendonly
	if g.receive {
		direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	var outs []*fanout.Track
	for _, t := range tracks {
		outs = append(outs, fanout.NewTrack(t.Codec))
	}
	x := g.add(outs, l.inbound)
	for _, out := range outs {
		tr, err := l.pc.AddTransceiverFromTrack(out, webrtc.RTPTransceiverInit{Direction: direction})
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", out.Codec, err)
		}
		g.listen(tr.Sender(), x)
		added[out.Kind()] = true
	}
	return added, nil
}
