package peer_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/dtls/v3"
	"github.com/pion/webrtc/v4"
)

// Faults of the catalogue (docs/faults.md) that belong to no other test.

// large is a source of pictures that take many packets.
type large struct{ ticker }

func (s *large) Run(ctx context.Context, out media.Sink) error {
	return s.ticker.Run(ctx, fattening{out})
}

// fattening makes frames larger. Their number stays at the end.
type fattening struct{ media.Sink }

func (f fattening) Write(frame *media.Frame) {
	slice := frame.Data[len(frame.Data)-1]
	fat := append(append(append([]byte(nil), slice[:2]...), make([]byte, 20_000)...), slice[2:]...)
	frame.Data = append(append([][]byte(nil), frame.Data[:len(frame.Data)-1]...), fat)
	f.Sink.Write(frame)
}

// TestNarrowPackets: a path that swallows datagrams of more than 1200 bytes, and tells nobody. Pictures, and
// certificates in DTLS, have to be in pieces.
func TestNarrowPackets(t *testing.T) {
	const most = 1200
	o := callOptions{source: &large{ticker{every: 100 * time.Millisecond, gop: 10}}}
	inBubble(t, o, func(m, v *line) { m.most, v.most = most, most }, func(t *testing.T, c *call, _, _ *site) {
		c.plays(50)
		if r := c.viewer.Report().Receiving[0]; r.Lost != 0 || r.Packets < 50*17 {
			t.Errorf("%d packets came and %d were lost, want some 17 for each of 50 pictures and none", r.Packets,
				r.Lost)
		}
	})
}

// TestStrangeFingerprint: whoever holds the other end of DTLS is not who wrote the description. Both sides notice at
// once.
func TestStrangeFingerprint(t *testing.T) {
	forge := func(s peer.Signal) peer.Signal {
		change := func(sdp string) string {
			return regexp.MustCompile(`(a=fingerprint:sha-256 )..:..:`).ReplaceAllString(sdp, "${1}00:01:")
		}
		switch s := s.(type) {
		case peer.Offer:
			return peer.Offer{SDP: change(s.SDP)}
		case peer.Answer:
			return peer.Answer{SDP: change(s.SDP)}
		}
		return s
	}
	forged := func(s peer.Signal, deliver func(peer.Signal)) { deliver(forge(s)) }
	for _, tt := range []struct {
		name string
		o    callOptions
	}{
		{"of the viewer's offer", callOptions{toMaster: forged}},
		{"of the master's answer", callOptions{toViewer: forged}},
		{"of the master's offer", callOptions{masterOffers: true, toViewer: forged}},
		{"of the viewer's answer", callOptions{masterOffers: true, toMaster: forged}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.o, nil, func(t *testing.T, c *call, _, _ *site) {
				began := time.Now()
				m, v := c.end(c.masterDone, 25*time.Second), c.end(c.viewerDone, 25*time.Second)
				if m == nil || v == nil || c.got.count(media.H264) > 0 {
					t.Errorf("the sides ended with %v and %v, and %d pictures; want two errors and none", m, v,
						c.got.count(media.H264))
				}
				if time.Since(began) > 10*time.Second {
					t.Errorf("the sides ended after %v, want with the handshake", time.Since(began))
				}
				// Who has checked the certificate says that, and the other that it was told so.
				if said := fmt.Sprint(m, v); !strings.Contains(said, "does not match any fingerprint") {
					t.Errorf("neither %v nor %v says that the certificate is another's", m, v)
				}
				t.Logf("%v after the offer: %v; %v", time.Since(began), m, v)
			})
		})
	}
}

// TestDTLSNeverEnds: ICE finds a way that DTLS cannot go. The viewer's place is free after the setup timeout.
func TestDTLSNeverEnds(t *testing.T) {
	inBubble(t, callOptions{}, func(_, v *line) { v.noDTLS = true }, func(t *testing.T, c *call, _, _ *site) {
		began := time.Now()
		if err := c.end(c.masterDone, 21*time.Second); err == nil || !strings.Contains(err.Error(), "dtls handshake") {
			t.Errorf("the master's side ended after %v with %v, want that the dtls handshake did not end",
				time.Since(began), err)
		}
	})
}

// TestNoCommonSRTPProfile: the sides know no common way to encrypt media. The log says that, and not that the handshake
// did not end.
func TestNoCommonSRTPProfile(t *testing.T) {
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetSRTPProtectionProfiles(dtls.SRTP_NULL_HMAC_SHA1_80)
	s.LoggerFactory = quiet
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	answered := make(chan struct{})
	b := broadcast(t, &ticker{every: 40 * time.Millisecond, gop: 25, size: 2000}, nil)
	master, err := peer.New(peer.Config{Engine: e, Broadcast: b, Send: func(s peer.Signal) {
		switch s := s.(type) {
		case peer.Answer:
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
				SDP: s.SDP}); err != nil {
				t.Error(err)
			}
			close(answered)
		case peer.Candidate:
			<-answered
			_ = pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: s.Candidate, SDPMid: s.SDPMid,
				SDPMLineIndex: s.SDPMLineIndex})
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- master.Run(t.Context()) }()
	master.Handle(peer.Offer{SDP: pc.LocalDescription().SDP})
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "SRTP") {
			t.Errorf("ended with %v, want that no profile of SRTP is common", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("not over after 15 s")
	}
}
