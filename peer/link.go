package peer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// link is one Pion peer connection and what belongs to it. Its fields do not change: a Conn that starts over has another link.
type link struct {
	pc       *webrtc.PeerConnection
	keys     *srtpKeys // nil when we send nothing
	sockets  *sockets
	inbound  *inbound
	receiver *receiver // nil when nothing is received
}

const closeWithin = 5 * time.Second

// open makes the peer connection, with the ICE servers of the moment.
func (c *Conn) open(ctx context.Context, set *codecSet) (*link, error) {
	var servers []ICEServer
	if c.o.ICEServers != nil {
		servers = c.o.ICEServers(ctx)
	}
	return c.openWith(set, servers)
}

// openWith makes the peer connection and attaches our callbacks to it.
func (c *Conn) openWith(set *codecSet, servers []ICEServer) (*link, error) {
	l := &link{
		sockets: c.o.Engine.newSockets(func() { c.wake.add(relayRefused) }),
		inbound: &inbound{limits: c.o.Engine.o.Limits, receive: c.o.Receive, fail: c.fail, guard: c.guard, ready: make(chan struct{})},
	}
	l.sockets.guard = c.guard
	if c.o.Broadcast != nil {
		l.keys = &srtpKeys{guard: c.guard}
	}
	pc, err := c.o.Engine.connection(set, servers, c.policy(), l.keys, l.sockets, l.inbound)
	if err != nil {
		l.sockets.close()
		return nil, err
	}
	l.pc = pc
	pc.OnICECandidate(func(cand *webrtc.ICECandidate) {
		defer c.guard.contain("candidates")
		if cand == nil {
			return // no client wants to be told of the end
		}
		init := cand.ToJSON()
		c.setSection(init)
		c.out.candidate(Candidate{Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex})
	})
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { c.wake.add(stateChanged) })
	pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { c.wake.add(stateChanged) })
	pc.OnDataChannel(l.inbound.channel)
	if c.o.Receive {
		l.receiver = newReceiver(c.o.Sink, c.o.Epoch, c.onFrame)
		pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			defer c.guard.contain("receiver")
			l.receiver.run(t, askKeyFrame(pc))
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	return l, nil
}

// policy is which kinds of candidates we gather.
func (c *Conn) policy() webrtc.ICETransportPolicy {
	switch {
	case c.o.RelayOnly:
		return webrtc.ICETransportPolicyRelay
	case c.o.NoHost:
		return webrtc.ICETransportPolicyNoHost
	}
	return webrtc.ICETransportPolicyAll
}

// freshServers takes ICE servers as at the beginning. They are for the next restart of ICE.
func (l *link) freshServers(ctx context.Context, servers func(context.Context) []ICEServer) error {
	if servers == nil {
		return nil
	}
	conf := l.pc.GetConfiguration()
	conf.ICEServers = l.sockets.servers(servers(ctx))
	if err := l.pc.SetConfiguration(conf); err != nil {
		return fmt.Errorf("new ice servers: %w", err)
	}
	return nil
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
