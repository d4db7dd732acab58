package peer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// outgoing is what a connection sends: its senders, and its place among those who watch the source.
type outgoing struct {
	b       *fanout.Broadcast // nil: nothing is sent
	receive bool              // the same sections receive, too
	log     *slog.Logger
	onFrame func() // the first key frame was sent
	guard   *contain.Guard

	work  sync.WaitGroup   // everything that runs for the senders
	clock fanout.WallClock // of their sender reports

	// Owned by Run.
	// That the remote must have: Sub when it cannot take the codec of the main stream.
	level     fanout.Level
	leaves    []func()                                 // the streams that this connection keeps running
	keysAfter time.Duration                            // from the handshake until the remote can decrypt
	sub       bool                                     // the smaller one is among them
	changed   <-chan struct{}                          // closed when the source's tracks change; nil: nothing is sent
	listening map[fanout.RTCPSource]*fanout.RTCPReader // one for each section in which we send
	paused    map[webrtc.RTPCodecType]bool             // what the remote does not want to receive

	mu      sync.Mutex // guards the fields below
	senders []*attachedSender
	past    uint64    // bytes of media that senders have sent that are no longer there
	firstAt time.Time // when one of those sent its first packet
}

// attachedSender is a sender at work. A connection has one, and another for each track that has changed since.
type attachedSender struct {
	*fanout.Sender
	stop func() // nil before it was started
	mute bool   // its sound has changed, and another sender has it
}

func newOutgoing(o Config, onFrame func(), g *contain.Guard) *outgoing {
	return &outgoing{
		b: o.Broadcast, receive: o.Receive, log: o.Log, onFrame: onFrame, guard: g,
		listening: map[fanout.RTCPSource]*fanout.RTCPReader{},
		paused:    map[webrtc.RTPCodecType]bool{},
	}
}

// join makes the source run until the connection ends.
func (g *outgoing) join() {
	if g.b != nil {
		g.leaves = append(g.leaves, g.b.Join(fanout.Main))
		g.watch()
	}
}

// joinSub makes the smaller stream run, too.
func (g *outgoing) joinSub() {
	if !g.sub {
		g.sub = true
		g.leaves = append(g.leaves, g.b.Join(fanout.Sub))
	}
}

// watch waits for the next change of the tracks.
func (g *outgoing) watch() { _, g.changed = g.b.Current(g.level) }

// close ends the senders, which stay for the last report.
func (g *outgoing) close() {
	for _, x := range g.all() {
		g.guard.Do("closing", x.end)
	}
	for _, leave := range g.leaves {
		g.guard.Do("closing", leave)
	}
}

// all gives the senders there are.
func (g *outgoing) all() []*attachedSender {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.senders)
}

// add makes a sender for some tracks. in learns which sender takes the feedback on its pictures.
func (g *outgoing) add(outs []*fanout.Track, in *transport.Inbound) *attachedSender {
	x := &attachedSender{Sender: fanout.NewSender(g.b, outs, g.onFrame)}
	x.Guard, x.Clock = g.guard, &g.clock
	for kind, paused := range g.paused {
		x.Pause(kind, paused)
	}
	if x.Has(webrtc.RTPCodecTypeVideo) {
		in.Watch(x.OnFeedback)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.senders = append(g.senders, x)
	return x
}

// retire ends a sender. What it is sending at this moment still goes out.
func (g *outgoing) retire(x *attachedSender) {
	x.end()
	at, sent := x.FirstPacket(), x.bytes()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.firstAt.IsZero() {
		g.firstAt = at
	}
	g.past += sent
	g.senders = slices.DeleteFunc(slices.Clone(g.senders), func(y *attachedSender) bool { return y == x })
}

// retireAll ends the senders of a peer connection that is over.
func (g *outgoing) retireAll() {
	for _, x := range g.all() {
		g.retire(x)
	}
}

// handOver makes room for a track in a sender of its own. Pictures take nothing of the sender that they had, so that
// ends; new sound leaves the sender of the pictures alone.
func (g *outgoing) handOver(out *fanout.Track) {
	for _, x := range g.all() {
		switch {
		case !x.Has(out.Kind()):
		case out.Codec.Video() || x.Alone():
			g.retire(x)
		default:
			g.muteSound(x)
		}
	}
}

// carries says whether a sender has the track.
func (g *outgoing) carries(out *fanout.Track) bool {
	return slices.ContainsFunc(g.all(), func(x *attachedSender) bool { return x.Sends(out) })
}

// muteSound notes that another sender has the sound of this one.
func (g *outgoing) muteSound(x *attachedSender) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x.mute = true
}

// frames is how many frames have been sent by the senders there are.
func (g *outgoing) frames() (n uint64) {
	for _, x := range g.all() {
		for _, t := range x.Report() {
			n += t.Frames
		}
	}
	return n
}

// report fills in what is sent.
func (g *outgoing) report(r *Report) {
	g.mu.Lock()
	senders, first := slices.Clone(g.senders), g.firstAt
	r.Sent = g.past
	g.mu.Unlock()
	for _, x := range senders {
		r.Direct = x.DirectTo().IsValid()
		if s, ok := x.Describe(); ok {
			r.Level, r.Moves, r.RTT, r.Jitter = s.Level, s.Moves, s.RTT, s.Jitter
			r.Estimate, r.Behind = s.Estimate, s.Behind
		}
		if at := x.FirstPacket(); first.IsZero() {
			first = at
		}
		r.Sent += x.bytes()
		r.Sending = append(r.Sending, g.carried(x)...)
	}
	if !first.IsZero() {
		r.Stages.Packet = max(first.Sub(r.Began), 1)
	}
}

// carried is a report on what a sender carries.
func (g *outgoing) carried(x *attachedSender) (out []fanout.TrackReport) {
	g.mu.Lock()
	mute := x.mute
	g.mu.Unlock()
	for _, t := range x.Report() {
		if t.Codec.Video() || !mute {
			out = append(out, t)
		}
	}
	return out
}

// listen hands the RTCP about what a section sends to a sender, and no longer to the one before it.
func (g *outgoing) listen(r fanout.RTCPSource, x *attachedSender) {
	reader := g.listening[r]
	if reader == nil {
		reader = &fanout.RTCPReader{}
		reader.To.Store(x.Sender)
		g.listening[r] = reader
		g.work.Go(func() { reader.Run(r) })
		return
	}
	reader.To.Store(x.Sender)
}

// bytes is how much media it has sent.
func (x *attachedSender) bytes() (n uint64) {
	for _, t := range x.Report() {
		n += t.Bytes
	}
	return n
}

// end stops sending.
func (x *attachedSender) end() {
	if x.stop != nil {
		x.stop()
	}
}

// startAll lets the senders send, now that DTLS has given the keys.
func (g *outgoing) startAll(ctx context.Context, l *link, e *Engine, remote identity) {
	if g.b == nil {
		return
	}
	l.route, g.keysAfter = newRoute(l, e, g), keysAfter(remote)
	for _, x := range g.all() {
		g.start(ctx, l, x)
	}
}

// start lets a sender send.
func (g *outgoing) start(ctx context.Context, l *link, x *attachedSender) {
	ctx, cancel := context.WithCancel(ctx)
	l.route.attach(x.Sender, g.level)
	detach := g.b.Attach(x.Sender)
	x.stop = func() { detach(); l.route.detach(x.Sender); cancel() }
	g.work.Go(func() {
		defer x.Contain("sender")
		waitForSRTP(l.pc)
		fanout.WaitForKeys(ctx, g.keysAfter)
		if err := x.Run(ctx, g.b.Promote); err != nil && ctx.Err() == nil {
			g.guard.Fail(fmt.Errorf("sending: %w", err))
		}
	})
	g.work.Go(func() { fanout.ReportLoop(ctx, l.pc, x.Sender) })
}

// waitForSRTP waits until Pion can send, or is closed. It says that it is connected a moment too early, and drops what
// is written before, without an error: the packet with the parameter sets of the first picture.
func waitForSRTP(pc *webrtc.PeerConnection) {
	for _, s := range pc.GetSenders() {
		if s.SetReadDeadline(time.Time{}) == nil { // which it cannot do sooner
			return
		}
	}
}

// keysAfter is how long after the handshake a remote can decrypt, as far as that is known.
func keysAfter(remote identity) time.Duration {
	if remote.Firefox() {
		return fanout.LateKeys
	}
	return 0
}

// tracksWithin is how long a description waits for the source's first tracks.
const tracksWithin = 12 * time.Second

// sourceTracks is what we have to send, as soon as that is known.
func (g *outgoing) sourceTracks(ctx context.Context) ([]media.Track, error) {
	if g.b == nil {
		return nil, nil
	}
	return g.b.WaitTracks(ctx, fanout.Main, tracksWithin)
}

// withSub puts the smaller stream's video in the place of the main one's when the remote takes that alone: most
// browsers take no H.265, and cameras give H.264 beside it.
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
	g.level = fanout.Choose(fanout.Circumstances{Levels: [2]fanout.LevelState{{There: true,
		Fit: fanout.FitOf(tracks, takes)}, {There: true, Fit: fanout.FitOf(subs, takes)}}}).Target
	if g.level == fanout.Sub {
		tracks = slices.Clone(tracks)
		tracks[i] = subs[slices.IndexFunc(subs, func(t media.Track) bool { return t.Codec.Video() })]
	}
	return tracks
}

// leveled tells in an answer the H.264 level of what we send, where it is known and nothing is received.
func (g *outgoing) leveled(answer string) string {
	if g.b == nil || g.receive {
		return answer
	}
	if video, ok := videoOf(g.wanted()); ok && video.Codec == media.H264 {
		return withLevel(answer, levelOf(video))
	}
	return answer
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
