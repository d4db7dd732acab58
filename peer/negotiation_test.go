package peer

import (
	"slices"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

func newNegotiation(polite bool) *negotiation {
	return &negotiation{polite: polite, asked: map[media.Codec]bool{}}
}

// TestOfferVerdict is what becomes of a remote's offer in every situation.
func TestOfferVerdict(t *testing.T) {
	pending := &pendingOffer{purpose: newICE}
	for _, x := range []struct {
		name          string
		polite        bool
		open, first   bool
		pending       *pendingOffer
		last, offered string
		want          verdict
	}{
		{"the first", false, false, false, nil, "", "a", openForIt},
		{"a restart", false, true, false, nil, "a", "b", answerIt},
		{"one that comes twice", false, true, false, nil, "a", "a", repeatAnswer},
		{"one that comes twice, while ours is pending", true, true, false, pending, "a", "a", repeatAnswer},
		{"one that crosses our first, we are impolite", false, true, true, nil, "", "a", ignoreIt},
		{"one that crosses our first, we are polite", true, true, true, nil, "", "a", startOver},
		{"one that crosses our later one, we are impolite", false, true, false, pending, "a", "b", ignoreIt},
		{"one that crosses our later one, we are polite", true, true, false, pending, "a", "b", yieldToIt},
	} {
		n := newNegotiation(x.polite)
		n.pending, n.lastOffer = x.pending, x.last
		if got := n.judge(x.offered, x.open, x.first); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
}

// TestOneOfferAtATime: what is to be offered while an answer is awaited is offered after it, once.
func TestOneOfferAtATime(t *testing.T) {
	n := newNegotiation(false)
	n.want([]media.Codec{media.VP8}, epoch)
	n.pending = &pendingOffer{purpose: newCodecs}
	n.enqueue(newICE)
	n.enqueue(newICE)
	if p, ok := n.dequeue(); ok {
		t.Errorf("%d is offered while an answer is awaited", p)
	}
	if n.answered() == nil || n.answered() != nil {
		t.Error("an offer is answered once")
	}
	if p, ok := n.dequeue(); !ok || p != newICE {
		t.Errorf("after the answer: %d, %v", p, ok)
	}
	if p, ok := n.dequeue(); ok {
		t.Errorf("%d is offered twice", p)
	}
}

// TestAskingForCodecs: each codec is asked for once in a session, unless our offer gave way to the remote's.
func TestAskingForCodecs(t *testing.T) {
	tracks := []media.Track{{Codec: media.VP8}, {Codec: media.Opus}}
	for _, x := range []struct {
		name    string
		happens func(*negotiation)
		strict  bool
		ask     []media.Codec
		refused media.Codec
	}{
		{"not asked so far", func(*negotiation) {}, false, []media.Codec{media.VP8, media.Opus}, ""},
		{"the remote takes what it needs and nothing else", func(*negotiation) {}, true, nil, media.VP8},
		{"no section for sound was offered", func(n *negotiation) { n.ruleOut(webrtc.RTPCodecTypeAudio) }, false,
			[]media.Codec{media.VP8}, ""},
		{"no section for pictures was offered", func(n *negotiation) { n.ruleOut(webrtc.RTPCodecTypeVideo) }, false,
			nil, media.VP8},
		{"answered, and yet not taken", func(n *negotiation) {
			n.want([]media.Codec{media.VP8}, epoch)
			n.pending = &pendingOffer{purpose: newCodecs}
			n.answered()
		}, false, nil, media.VP8},
		{"not answered", func(n *negotiation) { n.want([]media.Codec{media.Opus}, epoch); n.expire() }, false,
			[]media.Codec{media.VP8}, ""},
		{"gave way", func(n *negotiation) { n.want([]media.Codec{media.VP8, media.Opus}, epoch); n.yield() },
			false, []media.Codec{media.VP8, media.Opus}, ""},
		{"a restart of ice was answered", func(n *negotiation) {
			n.want([]media.Codec{media.VP8}, epoch)
			n.pending = &pendingOffer{purpose: newICE}
			n.answered()
		}, false, []media.Codec{media.VP8, media.Opus}, ""},
	} {
		n := newNegotiation(true)
		x.happens(n)
		ask, refused := n.missing(tracks, x.strict)
		if !slices.Equal(ask, x.ask) || refused != x.refused {
			t.Errorf("%s: ask for %v, refused %q; want %v, %q", x.name, ask, refused, x.ask, x.refused)
		}
	}
}

// TestAnswerDeadline: the time for an answer begins with the first wish, and ends with it.
func TestAnswerDeadline(t *testing.T) {
	n := newNegotiation(false)
	n.want([]media.Codec{media.VP8}, epoch)
	n.enqueue(newCodecs)
	n.want([]media.Codec{media.VP8, media.Opus}, at(time.Second))
	if want := at(renegotiateWithin); !n.wantedBy.Equal(want) {
		t.Errorf("until %v, want %v", n.wantedBy, want)
	}
	n.pending = &pendingOffer{purpose: newICE}
	if got := n.expire(); len(got) != 2 || n.pending == nil || !n.wantedBy.IsZero() || len(n.queue) != 0 {
		t.Errorf("given up %v; pending %v, until %v, queue %v", got, n.pending, n.wantedBy, n.queue)
	}
}

// TestKeepEarly: a candidate that names another description's user name is of no use to this one.
func TestKeepEarly(t *testing.T) {
	n := newNegotiation(false)
	ours, theirs := "ours", "theirs"
	n.early = []Candidate{{Candidate: "1", UsernameFragment: &ours}, {Candidate: "2", UsernameFragment: &theirs},
		{Candidate: "3"}}
	n.keepEarly(identity{Ufrags: []string{ours}})
	if len(n.early) != 2 || n.early[0].Candidate != "1" || n.early[1].Candidate != "3" {
		t.Errorf("kept %v", n.early)
	}
}
