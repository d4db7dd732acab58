package agent_test

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/webrtc/v4"
)

// TestViewersCannotLinkChannels: a viewer of two cameras must not see that one host has both, so each channel has a
// certificate of its own. The viewers of one channel share it, those that are refused included.
func TestViewersCannotLinkChannels(t *testing.T) {
	t.Parallel()
	s := service(t)
	a, _ := start(t, parse(t, s, `channels:
  gate: {source: pattern, create: true, max_viewers: 2}
  yard: {source: pattern, create: true}
`))
	first, second := fingerprint(t, s, "gate", "first"), fingerprint(t, s, "gate", "second")
	refused, other := fingerprint(t, s, "gate", "third"), fingerprint(t, s, "yard", "first")
	if n := len(channel(a, "gate").Peers); n != 2 {
		t.Errorf("%d sessions, want the third viewer refused", n)
	}
	switch {
	case first == "":
		t.Error("the answer has no fingerprint")
	case first != second:
		t.Errorf("two viewers of one channel see %q and %q", first, second)
	case first != refused:
		t.Errorf("a served and a refused viewer of one channel see %q and %q", first, refused)
	case first == other:
		t.Errorf("the viewers of two channels both see %q", first)
	}
}

// fingerprint returns that of the answer to a viewer's offer.
func fingerprint(t *testing.T, s *localkvs.Server, channelName, id string) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.CreateDataChannel("kvsDataChannel", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := join(t, s, channelName, id)
	r.send(pack(peer.Offer{SDP: offer.SDP}))
	var found string
	eventually(t, "an answer has come to "+id, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.kept {
			if a, ok := unpack(t, m).(peer.Answer); ok {
				_, found, _ = strings.Cut(a.SDP, "a=fingerprint:")
				found, _, _ = strings.Cut(found, "\r")
				return true
			}
		}
		return false
	})
	return found
}
