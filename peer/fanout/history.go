package fanout

import (
	"sort"
	"time"
)

const (
	// historyFrames is how many frames can be sent again: some seconds of video, and the whole of what a newcomer gets
	// at once.
	historyFrames = 256
	// historyPackets is how far behind the newest packet one may be that is sent again: more than a second at 100
	// Mbit/s. It is less than half of all sequence numbers, so that a number names one packet, for Pion's SRTP too (RFC
	// 3711 section 3.3.1).
	historyPackets = 1 << 14
	// asksKept is how many packets' asks are told apart: as many as one datagram may ask for, so that a burst of losses
	// does not make us forget its own beginning.
	asksKept = nacksADatagram
)

// history knows which packets a track has sent to one remote under which sequence numbers. The packets themselves are
// shared by all remotes; here stands only where they are.
type history struct {
	ring  [historyFrames]sentFrame
	next  int
	began time.Time      // asks count from then
	asks  *[asksKept]ask // by sequence number; nil before the first
}

// ask is how often a packet was sent again of late, and when last.
type ask struct {
	at    time.Duration
	index uint64 // extended sequence number
	times uint8
}

// A packet is not sent again for askAgain after the last time, and as long as packets wait in the path: that time may
// not have had its effect yet. After askQuick times that doubles each time, for some receivers go on asking for what
// they have got.
const (
	askAgain = 80 * time.Millisecond
	askQuick = 5
)

// mayAsk says whether a packet may be sent again once more, and counts it. One that shares its place with another waits
// until that one's first wait is over.
func (h *history) mayAsk(index uint64, now time.Time, wait time.Duration) bool {
	if h.asks == nil {
		h.asks, h.began = new([asksKept]ask), now
	}
	at := now.Sub(h.began)
	a := &h.asks[index%asksKept]
	doubled := 0
	if a.index == index {
		doubled = min(max(int(a.times), askQuick)-askQuick, 5)
	}
	if a.times > 0 && at-a.at < askAgain<<doubled+wait {
		return false
	}
	if a.index != index {
		*a = ask{index: index}
	}
	if a.times < 255 {
		a.times++
	}
	a.at = at
	return true
}

// sentFrame is a frame, and under which extended sequence number its first packet and under which timestamp all were
// sent.
type sentFrame struct {
	first uint64
	stamp uint32
	p     *packets
}

func (h *history) add(f sentFrame) {
	h.ring[h.next%historyFrames] = f
	h.next++
}

// window is of which packets the history knows, by extended sequence number: oldest is the first of them, next the
// first that was not sent yet.
func (h *history) window() (oldest, next uint64) {
	newest := h.back(1)
	if newest == nil {
		return 0, 0
	}
	next = newest.first + uint64(len(newest.p.payloads))
	oldest = h.back(min(h.next, historyFrames)).first
	if next > historyPackets {
		oldest = max(oldest, next-historyPackets)
	}
	return oldest, next
}

// find gives the frame of a packet in the window, by extended sequence number, and which packet of it that is.
func (h *history) find(index uint64) (*sentFrame, int) {
	kept := min(h.next, historyFrames)
	n := 1 + sort.Search(kept-1, func(i int) bool { return h.back(i+1).first <= index })
	f := h.back(n)
	return f, int(index - f.first)
}

// back gives the nth newest frame, n from 1; nil when there were not so many.
func (h *history) back(n int) *sentFrame {
	if n < 1 || n > h.next || n > historyFrames {
		return nil
	}
	return &h.ring[(h.next-n)%historyFrames]
}
