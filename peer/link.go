package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/receive"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/webrtc/v4"
)

// link is one Pion peer connection and what belongs to it. A Conn that starts over has another link.
type link struct {
	pc       *webrtc.PeerConnection
	keys     *transport.SRTPKeys // nil when we send nothing
	sockets  *transport.Sockets
	inbound  *transport.Inbound
	receiver *receive.Receiver // nil when nothing is received
	route    *route            // nil before the first sender has started; owned by Run

	handshake chan error // 1 slot: why DTLS has failed, once Pion says so
}

const closeWithin = 5 * time.Second

// open makes the peer connection and attaches our callbacks to it.
func (c *Conn) open(set *codecSet, servers []transport.ICEServer) (*link, error) {
	cert, err := c.o.Certificates.Get()
	if err != nil {
		return nil, err
	}
	l := &link{
		handshake: make(chan error, 1),
		sockets:   c.o.Engine.newSockets(c.guard, func() { c.wake.add(relayRefused) }),
		inbound:   transport.NewInbound(c.o.Engine.o.Limits, c.o.Receive, c.guard, c.o.Log),
	}
	if c.o.Receive {
		l.inbound.Unhandled = func(ssrc uint32) { takeUndeclared(c, l, ssrc) }
		if err := l.sockets.OpenOwn(); err != nil {
			return nil, err
		}
	}
	if c.o.Broadcast != nil {
		l.keys = transport.NewSRTPKeys(c.guard)
	}
	pc, err := c.o.Engine.connection(set, cert, servers, c.o.policy(), l.keys, l.sockets, l.inbound,
		func(err error) {
			select {
			case l.handshake <- err:
			default:
			}
		})
	if err != nil {
		l.sockets.Close()
		l.sockets.CloseOwn()
		return nil, err
	}
	l.pc = pc
	if c.o.Broadcast != nil {
		l.inbound.Measured = func() transport.Timeline { return c.progress.timeline(c.o.Signaling) }
	}
	l.inbound.EndsWith(func() bool { return pc.SignalingState() == webrtc.SignalingStateClosed })
	pc.OnICECandidate(func(cand *webrtc.ICECandidate) {
		defer c.guard.Contain("candidates")
		if cand == nil {
			c.progress.gatheredAll()
			return // no client wants to be told of the end
		}
		init := cand.ToJSON()
		c.out.candidate(Candidate{Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex})
	})
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { c.wake.add(stateChanged) })
	pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { c.wake.add(stateChanged) })
	if !c.o.NoData {
		pc.OnDataChannel(l.inbound.Channel)
	}
	if c.o.Receive {
		l.receiver = receive.NewReceiver(c.o.Sink, c.o.Epoch, c.outgoing.onFrame)
		pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			defer c.guard.Contain("receiver")
			l.receiver.Run(t, receive.AskKeyFrame(pc))
		})
	}
	c.setLink(l)
	return l, nil
}

// takeUndeclared takes a stream that no description has announced, from a goroutine of Pion's.
func takeUndeclared(c *Conn, l *link, ssrc uint32) {
	defer c.guard.Contain("receiver")
	packet := l.inbound.First(ssrc)
	if l.receiver == nil || packet == nil {
		return
	}
	track, err := receive.Undeclared(l.pc, ssrc, packet)
	if err != nil && l.receiver.Strayed(err) {
		c.o.Log.Warn("media is not taken", "err", err)
	}
	if track != nil {
		c.outgoing.work.Go(func() {
			defer c.guard.Contain("receiver")
			l.receiver.Run(track, receive.AskKeyFrame(l.pc))
		})
	}
}

// handshakeError says why DTLS has failed; nil when it has not. Pion closes the connection just before it says so, and
// is waited for.
func (l *link) handshakeError(wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-l.handshake:
		return fmt.Errorf("the dtls handshake failed: %w", err)
	case <-timer.C:
		return nil
	}
}

// trueReason is why a connection is over in place of an error that says only that Pion had closed it when we wanted
// something of it: what we found wrong, why its handshake failed, or that the remote has gone.
func trueReason(c *Conn, err error) error {
	if !errors.Is(err, webrtc.ErrConnectionClosed) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	if why := c.guard.Reason(); why != nil {
		return why
	}
	if l := c.current(); l != nil && !c.progress.wasConnected() {
		if why := l.handshakeError(tellingWithin); why != nil {
			return why
		}
	}
	return ErrEnded
}

// freshServers takes ICE servers as at the beginning. They are for the next restart of ICE.
func (l *link) freshServers(ctx context.Context, servers func(context.Context) []transport.ICEServer) error {
	if servers == nil {
		return nil
	}
	conf := l.pc.GetConfiguration()
	conf.ICEServers = l.sockets.Servers(servers(ctx))
	if err := l.pc.SetConfiguration(conf); err != nil {
		return fmt.Errorf("new ice servers: %w", err)
	}
	return nil
}

// close ends the peer connection and waits for it and for work. Pion's close has been seen to hang; nothing else waits
// for that.
func (l *link) close(work *sync.WaitGroup, g *contain.Guard) {
	l.sockets.Close() // ends what is on its way to a TURN server
	if l.route != nil {
		l.route.close()
	}
	l.inbound.End()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		g.Do("closing", func() { _ = l.pc.GracefulClose() })
		l.sockets.CloseOwn()
		work.Wait()
	}()
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		g.Log.Error("closing a peer connection hangs; going on without")
	}
}

// pair is the candidate pair that ICE has chosen; nil when it has not, or there is no link.
func (l *link) pair() *webrtc.ICECandidatePair {
	if l == nil {
		return nil
	}
	pair, err := l.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		return nil
	}
	return pair
}

// roundTrip is that of ICE's checks of the chosen pair; 0 is not known. It waits for Pion's loop of ICE.
func (l *link) roundTrip() time.Duration {
	stats, _ := l.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	return time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
}

// relayed says whether our end, and whether the remote's end of the chosen path is at a TURN server.
func (l *link) relayed() (ours, theirs bool) {
	pair := l.pair()
	if pair == nil {
		return false, false
	}
	return pair.Local.Typ == webrtc.ICECandidateTypeRelay, pair.Remote.Typ == webrtc.ICECandidateTypeRelay
}

// hasRelay says whether we have the address of a relay.
func (l *link) hasRelay() bool {
	if l == nil {
		return false
	}
	d := l.pc.LocalDescription() // with the candidates so far
	return d != nil && strings.Contains(d.SDP, " typ relay")
}

// activity is how much has come so far, media included when it is what the connection is for.
func (l *link) activity(media bool) activity {
	if l == nil {
		return activity{}
	}
	stats, _ := l.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	a := activity{stats.LocalCandidateID + stats.RemoteCandidateID, stats.ResponsesReceived}
	if media {
		a.n += uint64(stats.PacketsReceived)
	}
	return a
}

// canOffer says whether an offer can be made now.
func (l *link) canOffer() bool {
	return l != nil && l.pc.RemoteDescription() != nil && l.pc.SignalingState() == webrtc.SignalingStateStable
}

// firstOffer says whether our first offer waits for its answer.
func (l *link) firstOffer() bool {
	return l != nil && l.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
}
