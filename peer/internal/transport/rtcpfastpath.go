package transport

import (
	"net/netip"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// RTCPFastPath reads what one remote reports, straight from the shared socket, and throws away the media of one that is
// to send none.
type RTCPFastPath struct {
	open  *wire.SRTCPOpener // nil: Pion gets the reports
	in    *Inbound
	on    func(compound []byte, again *wire.Arena)
	plain []byte    // memory of the last one
	gone  time.Time // when Pion got one last
	media time.Time // when Pion last got unasked media

	from  netip.AddrPort // guarded by udpDemux.mu
	ended bool           // likewise
}

// passEvery is how often Pion gets a report, or a packet of unasked media, all the same: by what it hears it knows that
// a path is alive.
const passEvery = 2 * time.Second

// take does what a packet asks, with again as the place for what it asks for once more. It reports false when the
// packet is not for it, or tells of other things than how our media fare: Pion gets that.
func (f *RTCPFastPath) take(packet []byte, again *wire.Arena) bool {
	defer f.in.contain("socket reader")
	if f.open == nil {
		return false
	}
	plain, err := f.open.Open(f.plain, packet)
	if err != nil {
		return err == wire.ErrReplayed
	}
	f.plain = plain
	switch now := time.Now(); {
	case crowded(plain):
		f.in.report(plain) // it counts, but neither our readers nor Pion's are to look at each
		return true
	case now.Sub(f.gone) > passEvery || !onlyReports(plain):
		f.gone = now
		f.in.passed()
		return false
	}
	f.in.guard.At("socket reader")
	if feedback := f.in.report(plain); feedback != nil {
		wire.EachFeedback(plain, feedback)
	}
	f.on(plain, again)
	return true
}

// throwAway drops RTP that nobody asked for. It reports false when Pion is to have it: because somebody did, or for
// Pion to hear that the path is alive.
func (f *RTCPFastPath) throwAway(packet []byte) bool {
	defer f.in.contain("socket reader")
	if f.in.Receive {
		return false
	}
	if now := time.Now(); now.Sub(f.media) > passEvery {
		f.media = now
		return false
	}
	f.in.throwAway(len(packet))
	return true
}

// crowded says whether a compound packet is made of more packets than anybody puts together.
func crowded(compound []byte) bool {
	packets, size := 0, 0
	for p := range wire.RTCPPackets(compound) {
		packets++
		size += len(p)
	}
	return packets == wire.CompoundMost && size < len(compound)
}

// onlyReports says whether a compound packet holds nothing but what the fast path knows.
func onlyReports(compound []byte) bool {
	known := 0
	for p := range wire.RTCPPackets(compound) {
		if k := wire.KindOfRTCP(p); k == wire.RTCPOther || k == wire.RTCPKeyRequest {
			return false
		}
		known += len(p)
	}
	return known == len(compound)
}

// NewRTCPFastPath reads what a remote reports with open, which may be nil: Pion gets the reports then.
func NewRTCPFastPath(open *wire.SRTCPOpener, in *Inbound, on func(compound []byte, again *wire.Arena)) *RTCPFastPath {
	return &RTCPFastPath{open: open, in: in, on: on}
}
