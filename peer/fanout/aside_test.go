package fanout

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// pionWriter encrypts as Pion's session does, and gives what would leave.
type pionWriter struct {
	t      *testing.T
	cipher *srtp.Context
	out    func(raw []byte)
}

func (w pionWriter) WriteRTP(h *rtp.Header, body []byte) (int, error) {
	w.t.Helper()
	plain, err := (&rtp.Packet{Header: *h, Payload: body}).Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := w.cipher.EncryptRTP(nil, plain, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.out(raw)
	return len(body), nil
}

func (w pionWriter) Write([]byte) (int, error) { return 0, nil }

const (
	asideFrame   = 100 // packets
	asidePayload = 8   // bytes
)

// moving is a sender whose stream goes now around Pion and now through it, to a receiver that takes no number twice.
type moving struct {
	t        *testing.T
	s        *Sender
	d        *wire.Direct
	receiver *srtp.Context
	received int
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	key, salt := make([]byte, 16), make([]byte, 12)
	_, _ = rand.Read(key)
	_, _ = rand.Read(salt)
	cipher, err := wire.NewSRTPCipher(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	m := &moving{t: t, d: &wire.Direct{Cipher: cipher}}
	const profile = srtp.ProtectionProfileAeadAes128Gcm
	if m.receiver, err = srtp.CreateContext(key, salt, profile, srtp.SRTPReplayProtection(1<<12)); err != nil {
		t.Fatal(err)
	}
	pion, err := srtp.CreateContext(key, salt, profile)
	if err != nil {
		t.Fatal(err)
	}
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt = pionWriter{t, pion, m.receive}, 4711, 96
	track.rtxSSRC, track.rtxPT, track.next = 4712, 97, 30_000
	m.s = NewSender(nil, []*Track{track}, nil)
	m.s.SetDirect(m.d)
	return m
}

func (m *moving) receive(raw []byte) {
	m.t.Helper()
	if _, err := m.receiver.DecryptRTP(nil, raw, nil); err != nil {
		m.t.Fatalf("after %d packets: %v", m.received, err)
	}
	m.received++
}

// receiveAll takes what lies in an arena, packets of one size.
func (m *moving) receiveAll(at []byte, size, n int) {
	m.t.Helper()
	for range n {
		m.receive(at[:size])
		at = at[size:]
	}
}

// frame sends a frame, and all its packets once more in the retransmission stream.
func (m *moving) frame() {
	m.t.Helper()
	t := m.s.video
	p := &packets{frame: &media.Frame{Codec: media.H264}, payloads: make([]payload, asideFrame)}
	for i := range p.payloads {
		p.payloads[i].body = make([]byte, asidePayload)
	}
	if m.s.direct == nil {
		if err := t.writePart(whole(p)); err != nil {
			m.t.Fatal(err)
		}
	} else {
		const size = wire.RTPHeaderLen + asidePayload + wire.SRTPTagLen
		a := wire.NewArena(asideFrame*size + wire.HeaderMost)
		at := a.Slot(asideFrame*size + wire.HeaderMost)
		n := asideFrame
		if t.sealPart(whole(p), time.Now(), m.d, a) {
			n--
		}
		m.receiveAll(at[:cap(at)], size, n)
	}
	m.repeat()
}

func (m *moving) repeat() {
	m.t.Helper()
	const size = wire.RTPHeaderLen + 2 + asidePayload + wire.SRTPTagLen
	a := wire.NewArena(asideFrame*size + wire.HeaderMost)
	at := a.Slot(asideFrame*size + wire.HeaderMost)
	r := retransmits{d: m.s.direct, a: a}
	t := m.s.video
	for i := range asideFrame {
		t.retransmit(t.history.back(1), i, time.Now(), &r)
	}
	r.write()
	if n := asideFrame; m.s.direct != nil {
		if r.aside {
			n--
		}
		m.receiveAll(at[:cap(at)], size, n)
	}
}

// TestPionTakesTheStreamUp has a stream move to Pion's way for a moment, each time more than a lap of its sequence
// numbers and of those of its retransmissions further: the receiver, which is not ours, decrypts every packet, and none
// comes twice.
func TestPionTakesTheStreamUp(t *testing.T) {
	m := newMoving(t)
	const frames, stay = 5 << 16 / asideFrame, 85_000 / asideFrame
	for i := range frames {
		if i%stay == stay-1 {
			if !m.s.SetDirect(nil) {
				t.Fatalf("the stream cannot go on through Pion after %d packets", m.received)
			}
			m.frame()
			m.s.SetDirect(m.d)
		}
		m.frame()
		if i%7 == 0 { // the report loop has other things to do, too
			m.s.writeAside()
		}
	}
	m.s.writeAside()
	if want := 2 * asideFrame * (frames + frames/stay); m.received != want {
		t.Errorf("%d packets came, want %d", m.received, want)
	}
}

// TestPionThatHasLostCountGetsNothing keeps the packets for Pion from it, as a report loop does that hangs.
func TestPionThatHasLostCountGetsNothing(t *testing.T) {
	for _, tt := range []struct {
		name    string
		packets uint64 // behind the last that Pion knows
		want    bool
	}{{"within half a lap", 1<<15 - 2, true}, {"half a lap", 1<<15 - 1, false}, {"two laps", 2 << 16, false}} {
		t.Run(tt.name, func(t *testing.T) {
			for _, rtx := range []bool{false, true} {
				m := newMoving(t)
				for range 200 {
					m.frame()
					m.s.writeAside()
				}
				x := m.s.video
				seen, next := x.pion, &x.next
				if rtx {
					seen, next = x.rtxPion, &x.rtxNext
				}
				if *next = seen + tt.packets; m.s.SetDirect(nil) != tt.want {
					t.Errorf("retransmissions %v: the way was closed: %v", rtx, !tt.want)
				}
			}
		})
	}
}
