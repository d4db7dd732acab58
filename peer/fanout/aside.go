package fanout

import (
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// pionEvery is how many packets of a stream go around Pion for each one that Pion encrypts. Pion learns how often
// sequence numbers have rolled over from what it encrypts, and nobody can tell it. So it gets one packet of so many,
// and can take the stream up at any time, when ICE moves to a relay: the next number is never half a lap ahead of the
// last that it knows (RFC 3711 section 3.3.1). Our own counters are exact on both ways.
const pionEvery = 1 << 13

// isForPion picks the packets, away from where laps begin. The first number lies in the lower half of a lap, so the
// first packet that Pion encrypts lies in its first lap.
func isForPion(index uint64) bool { return index%pionEvery == pionEvery/2 }

// asidePacket is one that waits for the report loop to have it encrypted. That may wait for a relay, and sealing must
// not.
type asidePacket struct {
	index uint64
	loosePacket
}

func (t *Track) setAside(index uint64, h rtp.Header, payload []byte) {
	t.aside = append(t.aside, asidePacket{index, loosePacket{h, payload}})
}

// writeAside sends what was set aside, with no lock held.
func (s *Sender) writeAside() {
	for _, t := range s.tracks {
		w, packets := t.takeAside()
		for i := range packets {
			p := &packets[i]
			if _, err := w.WriteRTP(&p.header, p.payload); err != nil {
				break // the remote misses them, and the connection is about to end
			}
			t.pionHas(p)
		}
	}
}

func (t *Track) takeAside() (w webrtc.TrackLocalWriter, packets []asidePacket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if packets, t.aside = t.aside, nil; t.w == nil {
		return nil, nil
	}
	return t.w, packets
}

// pionHas notes a packet that Pion has encrypted.
func (t *Track) pionHas(p *asidePacket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := &t.pion
	if p.header.SSRC != t.ssrc {
		seen = &t.rtxPion
	}
	*seen = max(*seen, p.index+1)
}

// pionFollows says whether Pion would give the next packets of both streams the right roll-over counter. With another
// one a nonce would be used twice.
func (t *Track) pionFollows() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return inReach(t.pion, t.next) && inReach(t.rtxPion, t.rtxNext)
}

// inReach says whether an encrypter that has seen the packets before seen knows the lap of the next. With seen 0 it has
// seen no packet, and begins with the first lap.
func inReach(seen, next uint64) bool {
	if seen == 0 {
		return next <= 0xffff
	}
	return next-seen < 1<<15-1
}
