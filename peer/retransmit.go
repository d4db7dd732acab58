package peer

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// retransmits are packets that leave once more. Those that go straight are sealed under the sender's lock; those that go through Pion are written without it, since
// a relay that is reached by TCP may keep them waiting.
type retransmits struct {
	d     *direct // nil for Pion's way
	a     *arena
	w     webrtc.TrackLocalWriter
	loose []loosePacket
}

// loosePacket is one for Pion to encrypt.
type loosePacket struct {
	header  rtp.Header
	payload []byte
}

// retransmitBytes is the arena of one answer.
const retransmitBytes = 32 << 10

// arena is made when there is something to put into it: a remote may ask for what it cannot get.
func (r *retransmits) arena() *arena {
	if r.a == nil {
		r.a = newArena(retransmitBytes)
	}
	return r.a
}

func (r *retransmits) add(w webrtc.TrackLocalWriter, h rtp.Header, payload []byte) {
	r.w = w
	r.loose = append(r.loose, loosePacket{h, payload})
}

// flush sends what was sealed, with no lock held: what leaves meanwhile from elsewhere may overtake it, which is nothing to who misses these packets.
func (r *retransmits) flush() {
	if r.a != nil {
		r.a.flush()
	}
}

// write sends the rest.
func (r *retransmits) write() {
	for i := range r.loose {
		if _, err := r.w.WriteRTP(&r.loose[i].header, r.loose[i].payload); err != nil {
			return // who sends the pictures finds out, too
		}
	}
}

// What may be sent again: a quarter of what is sent, so that a remote that asks for everything cannot make us an amplifier, and a burst of that.
const (
	rtxShare       = 4
	rtxBudgetMost  = 512 << 10
	rtxBudgetFirst = 16 << 10    // bytes that may be sent again before anything was earned, for a stream of small packets
	rtxRestFor     = time.Second // a path that was full so lately, and in which packets wait for so long, loses them because it is full: more would make it worse
	rtxRestQueue   = 50 * time.Millisecond
)

// sendAgain sends packets that the remote has missed once more: in a stream of their own where that was negotiated, else as they were.
func (t *outTrack) sendAgain(ssrc uint32, seqs []uint16, r *retransmits) (sent int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil || t.ssrc != ssrc || t.history == nil {
		return 0
	}
	path := t.path.State()
	now := time.Now()
	if now.Sub(path.FullAt) < rtxRestFor && path.Waiting > rtxRestQueue {
		return 0
	}
	for _, seq := range seqs {
		f, i := t.history.find(seq)
		if f == nil || f.first < t.obsoleteBefore || !t.history.mayAsk(seq, now, path.Waiting) {
			continue
		}
		size := int64(f.p.payloads[i].size())
		if t.rtxBudget < size {
			return sent
		}
		t.retransmit(f, i, now, r)
		t.rtxBudget -= size
		sent++
	}
	return sent
}

// retransmit puts one packet in once more.
func (t *outTrack) retransmit(f *sentFrame, i int, now time.Time, r *retransmits) {
	body := &f.p.payloads[i]
	switch {
	case t.rtxSSRC != 0 && r.d != nil:
		t.sealRTX(f, i, now, r.d, r.arena())
	case r.d != nil:
		t.seal(f, i, now, r.d, r.arena())
	case t.rtxSSRC != 0:
		r.add(t.w, t.headerRTX(f, i, now), body.appendTo(binary.BigEndian.AppendUint16(nil, uint16(f.first+uint64(i)))))
	default:
		r.add(t.w, t.header(f, i, now), body.appendTo(nil))
	}
}
