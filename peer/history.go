package peer

// historyFrames is how many frames can be sent again: some seconds of video, and the whole of what a newcomer gets at once.
const historyFrames = 256

// history knows which packets a track has sent to one remote under which sequence numbers. The packets themselves are shared by all
// remotes; here stands only where they are.
type history struct {
	ring [historyFrames]sentFrame
	next int
}

// sentFrame is a frame and the extended sequence number of its first packet.
type sentFrame struct {
	first uint64
	p     *packets
}

func (h *history) add(first uint64, p *packets) {
	h.ring[h.next%historyFrames] = sentFrame{first, p}
	h.next++
}

// find gives the packet that was sent under a sequence number, and its extended number; nil when it is too long ago.
func (h *history) find(seq uint16) (*packets, int, uint64) {
	for i := h.next - 1; i >= 0 && i >= h.next-historyFrames; i-- {
		f := &h.ring[i%historyFrames]
		if offset := seq - uint16(f.first); int(offset) < len(f.p.payloads) {
			return f.p, int(offset), f.first + uint64(offset)
		}
	}
	return nil, 0, 0
}
