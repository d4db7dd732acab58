package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/peer"
)

// TestReloadsLeaveRoom: a page is reloaded again and again under one client ID, faster than its offers are taken. What
// its earlier lives have sent takes no place from the candidates of the one that is served, and is not given to it.
func TestReloadsLeaveRoom(t *testing.T) {
	e := earlyCandidates{limits: config.SignalingLimits{EarlyCandidates: 4, EarlyLife: time.Minute}}
	now := time.Now()
	sent := func(life string, port int) peer.Candidate {
		return peer.Candidate{Candidate: fmt.Sprintf("candidate:1 1 udp 1 192.0.2.1 %d typ host ufrag %s", port, life)}
	}
	for life := range 5 {
		for port := range 4 {
			e.keep("page", sent(fmt.Sprint("life", life), 1000*life+port), now)
		}
	}
	e.keep("page", peer.Candidate{Candidate: "candidate:1 1 udp 1 192.0.2.2 9 typ host"}, now) // does not say whose
	for port := range 3 {
		e.keep("page", sent("abcd", 9000+port), now)
	}
	got := e.take("page", plainOffer)
	if len(got) != 4 || len(e.byClient) != 0 {
		t.Errorf("%d candidates for the offer: %v; %d clients left", len(got), got, len(e.byClient))
	}
	for _, s := range got {
		if c := s.(peer.Candidate).Candidate; strings.Contains(c, "life") {
			t.Errorf("a candidate of an earlier life: %s", c)
		}
	}
}

// TestReloadsWithoutAUfrag: a page that does not say whose its candidates are keeps those of its last life.
func TestReloadsWithoutAUfrag(t *testing.T) {
	e := earlyCandidates{limits: config.SignalingLimits{EarlyCandidates: 4, EarlyLife: time.Minute}}
	for port := range 20 {
		e.keep("page", peer.Candidate{Candidate: fmt.Sprintf("candidate:1 1 udp 1 192.0.2.1 %d typ host", 9000+port)},
			time.Now())
	}
	got := e.take("page", plainOffer)
	if len(got) != 4 || !strings.Contains(got[3].(peer.Candidate).Candidate, " 9019 ") {
		t.Errorf("kept are %v, want the last four", got)
	}
}

// TestReplacedOfferTakesItsCandidates: a held offer that a newer one replaces takes its candidates with it.
func TestReplacedOfferTakesItsCandidates(t *testing.T) {
	e := earlyCandidates{limits: config.SignalingLimits{EarlyCandidates: 4, EarlyLife: time.Minute}}
	ufrag := "abcd"
	e.keep("page", peer.Candidate{Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host", UsernameFragment: &ufrag},
		time.Now())
	e.drop("page", strings.ReplaceAll(plainOffer, "abcd", "efgh"))
	if len(e.byClient) != 1 {
		t.Fatal("another offer's candidates are dropped")
	}
	if e.drop("page", plainOffer); len(e.byClient) != 0 {
		t.Error("the candidates of the replaced offer stay")
	}
}

// TestEarlyLife: each candidate waits for as long as it may, however old the first of its client is.
func TestEarlyLife(t *testing.T) {
	e := earlyCandidates{limits: config.SignalingLimits{EarlyCandidates: 4, EarlyLife: time.Minute}}
	one := peer.Candidate{Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host"}
	e.keep("page", one, time.Now().Add(-2*time.Minute))
	e.keep("page", one, time.Now())
	if got := e.take("page", ""); len(got) != 1 {
		t.Errorf("%d candidates, want the one that is not too old", len(got))
	}
}
