package fanout

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
)

// nackFor is a compound packet that asks for packets of a stream, as many NACKs as it takes.
func nackFor(t testing.TB, ssrc uint32, pairs ...rtcp.NackPair) (compound []byte) {
	t.Helper()
	for len(pairs) > 0 {
		n := min(len(pairs), 253) // Pion writes no more into one
		b, err := (&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: ssrc, Nacks: pairs[:n]}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		compound, pairs = append(compound, b...), pairs[n:]
	}
	return compound
}

// sequence is n numbers from one on, in pairs of 17.
func sequence(from uint16, n int) (pairs []rtcp.NackPair) {
	for ; n > 0; n -= 17 {
		pairs = append(pairs, rtcp.NackPair{PacketID: from, LostPackets: rtcp.PacketBitmap(1<<min(n-1, 16) - 1)})
		from += 17
	}
	return pairs
}

// nacked is a sender of one video track that has sent frames of some packets each, and may send all of them again.
func nacked(t testing.TB, first uint64, frames, each int) *Sender {
	t.Helper()
	out := NewTrack(media.H264)
	out.w, out.ssrc, out.rtxSSRC, out.next = discard{}, 4711, 815, first
	s := NewSender(NewBroadcast(media.NewHub(media.HubOptions{}), nil), []*Track{out}, nil)
	for range frames {
		out.begin(whole(&packets{frame: &media.Frame{Codec: media.H264}, payloads: make([]payload, each),
			bytes: each * wire.MaxPayload}))
	}
	out.rtxBudget, out.nackBudget = rtxBudgetMost, nackBudgetMost
	return s
}

// Every packet of the window is found under its number, over roll-overs, and none that lies outside.
func TestHistoryFindsByNumber(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, first := range []uint64{0, 5, 0x7fff, 65_500, 1<<32 - 3000} {
		h := &history{}
		if oldest, next := h.window(); oldest != next {
			t.Fatalf("an empty history has the window %d to %d", oldest, next)
		}
		index := first
		var of []int // frame of each packet
		for n := range 2 * historyFrames {
			count := rng.IntN(12)
			h.add(sentFrame{first: index, stamp: uint32(n), p: &packets{payloads: make([]payload, count)}})
			index += uint64(count)
			for range count {
				of = append(of, n)
			}
		}
		oldest, next := h.window()
		if next != index || oldest != h.back(historyFrames).first {
			t.Fatalf("window %d to %d", oldest, next)
		}
		for i := oldest; i < next; i++ {
			got, ok := extended(uint16(i), next)
			if !ok || got != i {
				t.Fatalf("number %d is %d, %v, want %d", uint16(i), got, ok, i)
			}
			f, at := h.find(i)
			if int(f.stamp) != of[i-first] || f.first+uint64(at) != i {
				t.Fatalf("packet %d was found in frame %d at %d, want frame %d", i, f.stamp, at, of[i-first])
			}
		}
	}
}

// The window is less than half of all numbers: further back a number could be another packet's, to Pion's SRTP first of
// all.
func TestHistoryWindowIsBounded(t *testing.T) {
	s := nacked(t, 100, historyFrames, 400) // 102,400 packets
	next := s.video.next
	if oldest, end := s.video.history.window(); end != next || next-oldest != historyPackets {
		t.Errorf("the window holds %d packets, want %d", end-oldest, historyPackets)
	}
	for _, tt := range []struct {
		name string
		back uint64
		want uint64
	}{{"the oldest", historyPackets, 1}, {"one that is older", historyPackets + 1, 0}, {"far back", 40_000,
		0}, {"the newest", 1, 1}, {"the next", 0, 0}, {"one to come", 1<<64 - 1000, 0}} {
		s.resent = 0
		s.OnReports(nackFor(t, 4711, rtcp.NackPair{PacketID: uint16(next - tt.back)}), nil)
		if s.resent != tt.want {
			t.Errorf("%s was sent again %d times, want %d", tt.name, s.resent, tt.want)
		}
	}
}

// What is sent again costs bytes of a budget, which grows by a quarter of what is sent.
func TestRetransmissionBudget(t *testing.T) {
	s := nacked(t, 0, 50, 1)
	for i := range s.video.history.ring[:50] {
		s.video.history.ring[i].p.payloads[0].body = make([]byte, wire.MaxPayload)
	}
	ask := func(from uint16) uint64 {
		before := s.resent
		s.OnReports(nackFor(t, 4711, sequence(from, 10)...), nil)
		return s.resent - before
	}
	s.video.rtxBudget = 3*wire.MaxPayload + 1
	if got := ask(0); got != 3 {
		t.Errorf("%d packets were sent again for a budget of 3", got)
	}
	if got := ask(20); got != 0 {
		t.Errorf("%d packets were sent again for what was left of it", got)
	}
	s.video.begin(whole(&packets{frame: &media.Frame{Codec: media.H264}, payloads: make([]payload, 8),
		bytes: 8 * wire.MaxPayload}))
	if got := ask(30); got != 2 {
		t.Errorf("%d packets were sent again after 8 were sent, want 2", got)
	}
}

// A remote spends a number of its budget for each packet that it asks for, whether there is one or not, and gets new
// ones with what is sent to it.
func TestNACKBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where no time passes
		s := nacked(t, 100, 10, 10)
		lost := nackFor(t, 4711, rtcp.NackPair{PacketID: 105})
		for range nackBudgetMost / nacksADatagram {
			s.OnReports(nackFor(t, 4711, sequence(30_000, nacksADatagram)...), nil) // never sent
		}
		if s.OnReports(lost, nil); s.resent != 0 {
			t.Error("a packet was sent again when the budget was spent")
		}
		s.video.begin(whole(&packets{frame: &media.Frame{Codec: media.H264}, payloads: make([]payload, 1)}))
		for range nackShare {
			s.OnReports(lost, nil)
		}
		if s.resent != 1 || s.video.nackBudget != 0 {
			t.Errorf("after one packet more, and %d asks: sent again %d times, %d asks are left", nackShare, s.resent,
				s.video.nackBudget)
		}
		for range nackBudgetMost {
			s.video.begin(whole(&packets{frame: &media.Frame{Codec: media.H264}, payloads: make([]payload, 1)}))
		}
		if s.video.nackBudget != nackBudgetMost {
			t.Errorf("a budget of %d has gathered, want %d at most", s.video.nackBudget, nackBudgetMost)
		}
	})
}

// One datagram asks for so many packets, however many NACKs it is made of.
func TestNACKsOfADatagram(t *testing.T) {
	s := nacked(t, 100, 200, 10)
	s.OnReports(nackFor(t, 4711, sequence(100, 2000)...), nil)
	if got := int(s.resent); got > nacksADatagram || got <= nacksADatagram-17 {
		t.Errorf("%d packets were sent again for one datagram, want %d at most", got, nacksADatagram)
	}
	if spent := nackBudgetMost - s.video.nackBudget; spent > nacksADatagram {
		t.Errorf("one datagram has spent %d asks", spent)
	}
}

// Receivers ask again before a packet that was sent again can have come. In a burst of many losses, too, it is sent
// once.
func TestNACKOfABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where no time passes
		s := nacked(t, 65_000, 100, 10)
		nack := nackFor(t, 4711, sequence(65_000, 1000)...)
		for range 3 {
			s.OnReports(nack, nil)
		}
		if s.resent != 1000 {
			t.Errorf("1000 lost packets were sent again %d times", s.resent)
		}
	})
}

// Two packets that share a place in the table of asks do not make each other forgotten.
func TestNACKOfNeighboursInTheTable(t *testing.T) {
	h, now := &history{}, time.Now()
	if !h.mayAsk(5, now, 0) || h.mayAsk(5+asksKept, now.Add(time.Millisecond), 0) ||
		h.mayAsk(5, now.Add(2*time.Millisecond), 0) {
		t.Error("two packets are sent again in turn")
	}
	if !h.mayAsk(5+asksKept, now.Add(askAgain), 0) {
		t.Error("a packet is held up by another one")
	}
	for n := range 12 { // of one packet: the waits grow from the sixth on
		at := now.Add(time.Hour + time.Duration(n)*askAgain)
		if got, want := h.mayAsk(9, at, 0), n < 6 || n == 7 || n == 11; got != want {
			t.Errorf("ask %d: %v, want %v", n+1, got, want)
		}
	}
}

// What a NACK costs is no matter of how much can be written into it.
func TestNACKCost(t *testing.T) {
	s := nacked(t, 100, historyFrames, 1)
	never := nackFor(t, 4711, sequence(uint16(s.video.next)+1000, 17*2000)...)
	if n := testing.AllocsPerRun(100, func() { s.OnReports(never, nil) }); n != 0 {
		t.Errorf("a NACK of packets that were never sent costs %.0f allocations", n)
	}
	for _, size := range []int{1400, 8000} {
		const times = 50
		began := time.Now()
		for range times {
			s.video.nackBudget = nackBudgetMost
			s.OnReports(never[:size/4*4], nil)
		}
		if each := time.Since(began) / times; each > 200*time.Microsecond {
			t.Errorf("a NACK of %d bytes keeps the reader of the shared socket, and this viewer's lock, for %v",
				size, each)
		} else {
			t.Logf("%d bytes: %v", size, each)
		}
	}
}
