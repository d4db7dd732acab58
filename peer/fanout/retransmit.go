package fanout

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// retransmits are packets that leave once more. Those that go straight are sealed under the sender's lock; those that
// go through Pion are written without it, since a relay that is reached by TCP may keep them waiting.
type retransmits struct {
	d     *wire.Direct // nil for Pion's way
	a     *wire.Arena
	w     webrtc.TrackLocalWriter
	loose []loosePacket
	aside bool // something was set aside
}

// loosePacket is one for Pion to encrypt.
type loosePacket struct {
	header  rtp.Header
	payload []byte
}

// arena is made when there is something to put into it: a remote may ask for what it cannot get.
func (r *retransmits) arena() *wire.Arena {
	if r.a == nil {
		r.a = wire.NewArena(wire.RetransmitBytes)
	}
	return r.a
}

func (r *retransmits) add(w webrtc.TrackLocalWriter, h rtp.Header, payload []byte) {
	r.w = w
	r.loose = append(r.loose, loosePacket{h, payload})
}

// flush sends what was sealed, with no lock held: what leaves meanwhile from elsewhere may overtake it, which is
// nothing to who misses these packets.
func (r *retransmits) flush() {
	if r.a != nil {
		r.a.Flush()
	}
}

// write sends the rest.
func (r *retransmits) write() {
	for i := range r.loose {
		if _, err := r.w.WriteRTP(&r.loose[i].header, r.loose[i].payload); err != nil {
			return // the sender of the pictures finds out, too
		}
	}
}

// What may be sent again: a quarter of what is sent, so that a remote that asks for everything cannot make us an
// amplifier, and a burst of that.
const (
	rtxShare      = 4
	rtxBudgetMost = 512 << 10
	// Bytes that may be sent again before anything was earned, for a stream of small packets.
	rtxBudgetFirst = 16 << 10
	// A path that was full so lately, and in which packets wait for so long, loses them because it is full: more would
	// make it worse.
	rtxRestFor   = time.Second
	rtxRestQueue = 50 * time.Millisecond
)

// What may be asked for, whether it can be had or not: several times what is sent, since receivers ask for a packet up
// to ten times, and a burst of that. What is asked for beyond that is not looked at.
const (
	// Sequence numbers; libwebrtc keeps no more of them (nack_requester.cc, kMaxNackPackets is 1000)
	nacksADatagram  = 1024
	nackShare       = 4
	nackBudgetMost  = 4096
	nackBudgetFirst = 1024
)

// retransmit answers the NACKs of a compound packet. again is where the packets go, for somebody else to flush; nil
// sends them at once.
func (s *Sender) retransmit(compound []byte, again *wire.Arena) {
	r := s.answer(compound, again)
	if again == nil {
		r.flush()
	}
	r.write()
}

// answer seals what goes straight, and gives all that is left to do with no lock held.
func (s *Sender) answer(compound []byte, again *wire.Arena) (r retransmits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if again != nil && s.direct == nil {
		// The path has just moved to a relay, and the flush must not wait for that; the remote asks once more.
		return r
	}
	r = retransmits{d: s.direct, a: again}
	left := nacksADatagram
	for p := range wire.RTCPPackets(compound) {
		if wire.KindOfRTCP(p) != wire.RTCPNACK {
			continue
		}
		for _, t := range s.tracks {
			s.resent += uint64(t.answerNACK(p, &left, &r))
		}
	}
	if r.aside {
		s.tell()
	}
	return r
}

// answerNACK sends packets that the remote has missed once more: in a stream of their own where that was negotiated,
// else as they were. left is how many sequence numbers the datagram may still ask for.
//
//	| header, 8 bytes | SSRC of the media | number, and which of the 16 that follow it: 16 bits each, repeated |
func (t *Track) answerNACK(nack []byte, left *int, r *retransmits) (sent int) {
	if len(nack) < nackHead {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil || t.history == nil || binary.BigEndian.Uint32(nack[nackHead-4:]) != t.ssrc {
		return 0
	}
	path := t.path.State()
	now := time.Now()
	if now.Sub(path.FullAt) < rtxRestFor && path.Waiting > rtxRestQueue {
		return 0
	}
	oldest, next := t.history.window()
	oldest = max(oldest, t.obsoleteBefore)
	for pairs := nack[nackHead:]; len(pairs) >= 4; pairs = pairs[4:] {
		seq, more := binary.BigEndian.Uint16(pairs), binary.BigEndian.Uint16(pairs[2:])
		n := 1 + bits.OnesCount16(more)
		if *left < n || t.nackBudget < n {
			return sent
		}
		*left -= n
		t.nackBudget -= n
		for mask := uint32(more)<<1 | 1; mask != 0; mask &= mask - 1 {
			index, ok := extended(seq+uint16(bits.TrailingZeros32(mask)), next)
			if !ok || index < oldest || !t.history.mayAsk(index, now, path.Waiting) {
				continue
			}
			f, i := t.history.find(index)
			size := int64(f.p.payloads[i].size())
			if t.rtxBudget < size {
				return sent
			}
			t.retransmit(f, i, now, r)
			t.rtxBudget -= size
			sent++
		}
	}
	return sent
}

// nackHead is what stands before the pairs of a generic NACK (RFC 4585 section 6.2.1).
const nackHead = 12

// extended is the newest extended sequence number before next that ends in seq; ok is false when there is none.
func extended(seq uint16, next uint64) (index uint64, ok bool) {
	back := 1 + uint64(uint16(next)-1-seq)
	return next - back, back <= next
}

// retransmit puts one packet in once more.
func (t *Track) retransmit(f *sentFrame, i int, now time.Time, r *retransmits) {
	body := &f.p.payloads[i]
	switch {
	case t.rtxSSRC != 0 && r.d != nil && isForPion(t.rtxNext):
		r.aside = true
		index := t.rtxNext
		t.setAside(index, t.headerRTX(f, i, now), t.rtxPayload(f, i))
	case t.rtxSSRC != 0 && r.d != nil:
		t.sealRTX(f, i, now, r.d, r.arena())
	case r.d != nil:
		t.seal(f, i, now, r.d, r.arena())
	case t.rtxSSRC != 0:
		r.add(t.w, t.headerRTX(f, i, now), t.rtxPayload(f, i))
		t.rtxPion = t.rtxNext
	default:
		r.add(t.w, t.header(f, i, now), body.appendTo(nil))
	}
}

// rtxPayload is packet i of a frame behind its first number (RFC 4588 section 4).
func (t *Track) rtxPayload(f *sentFrame, i int) []byte {
	return f.p.payloads[i].appendTo(binary.BigEndian.AppendUint16(nil, uint16(f.first+uint64(i))))
}
