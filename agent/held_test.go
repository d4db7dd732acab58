package agent

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

const plainOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" +
	"c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 00\r\n" +
	"a=mid:0\r\na=rtpmap:96 VP8/90000\r\n"

// TestHeldOfferIsForgotten: an offer that was held, and at whose time all clients together are over their limit, is
// forgotten with its candidates: no timer would come for it, and the client's next candidates would go to no session.
func TestHeldOfferIsForgotten(t *testing.T) {
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	ch := &channel{
		log: slog.New(slog.DiscardHandler), ripe: make(chan string, 16),
		offerLimit: offerLimit{limits: config.OfferLimits{PerSecond: 1, Burst: 1, ClientEvery: 50 * time.Millisecond,
			ClientBurst: 1}},
		early: earlyCandidates{limits: config.SignalingLimits{EarlyCandidates: 5, EarlyLife: time.Minute}},
		held:  map[string]heldOffer{}, sessions: map[string]*session{}, refusals: map[string]*refusal{},
	}
	ch.settings.Store(&settings{network: &network{engine: e}})
	ch.offerLimit.take("x", time.Now())
	var wg sync.WaitGroup
	ch.onOffer(t.Context(), &wg, "x", nil, peer.Offer{SDP: plainOffer})
	if len(ch.held) != 1 {
		t.Fatal("the offer is not held")
	}
	ch.early.keep("x", peer.Candidate{Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host"}, time.Now())
	id := <-ch.ripe
	for { // until the client may offer again, by its own limit
		if reason, wait := ch.offerLimit.take(id, time.Now()); wait == 0 && reason != "" {
			break
		}
	}
	ch.onOffer(t.Context(), &wg, id, nil, ch.held[id].offer)
	if len(ch.held) != 0 || len(ch.early.byClient) != 0 {
		t.Errorf("%d offers and the candidates of %d clients are held for ever", len(ch.held), len(ch.early.byClient))
	}
}
