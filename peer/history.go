package peer

import "time"

// historyFrames is how many frames can be sent again: some seconds of video, and the whole of what a newcomer gets at once.
const historyFrames = 256

// history knows which packets a track has sent to one remote under which sequence numbers. The packets themselves are shared by all
// remotes; here stands only where they are.
type history struct {
	ring [historyFrames]sentFrame
	next int
	asks [64]ask // by sequence number
}

// ask is how often a packet was sent again of late, and when last.
type ask struct {
	at    time.Time
	seq   uint16
	times uint8
}

// A packet is not sent again for askAgain after the last time, and as long as packets wait in the path: that time may not have had its effect yet. After askQuick times that doubles
// each time, for some receivers go on asking for what they have got.
const (
	askAgain = 80 * time.Millisecond
	askQuick = 5
)

// mayAsk says whether a packet may be sent again once more, and counts it.
func (h *history) mayAsk(seq uint16, now time.Time, wait time.Duration) bool {
	a := &h.asks[seq%uint16(len(h.asks))]
	if a.seq != seq {
		*a = ask{seq: seq}
	}
	if a.times > 0 && now.Sub(a.at) < askAgain<<min(max(a.times, askQuick)-askQuick, 5)+wait {
		return false
	}
	a.times++
	a.at = now
	return true
}

// sentFrame is a frame, and under which extended sequence number its first packet and under which timestamp all were sent.
type sentFrame struct {
	first uint64
	stamp uint32
	p     *packets
}

func (h *history) add(f sentFrame) {
	h.ring[h.next%historyFrames] = f
	h.next++
}

// find gives the frame a packet of which was sent under a sequence number, and which packet that is; nil when it is too long ago.
func (h *history) find(seq uint16) (*sentFrame, int) {
	for i := h.next - 1; i >= 0 && i >= h.next-historyFrames; i-- {
		f := &h.ring[i%historyFrames]
		if offset := seq - uint16(f.first); int(offset) < len(f.p.payloads) {
			return f, int(offset)
		}
	}
	return nil, 0
}

// back gives the nth newest frame, n from 1; nil when there were not so many.
func (h *history) back(n int) *sentFrame {
	if n > h.next || n > historyFrames {
		return nil
	}
	return &h.ring[(h.next-n)%historyFrames]
}
