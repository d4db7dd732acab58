package peer

import (
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

// rtcpFastPath reads what one remote reports, straight from the shared socket.
type rtcpFastPath struct {
	open  *srtcpOpener
	in    *inbound
	on    func(rtcp.Packet, *arena)
	plain []byte    // memory of the last one
	gone  time.Time // when Pion got one last

	from  netip.AddrPort // guarded by udpDemux.mu
	ended bool           // likewise
}

// passEvery is how often Pion gets a report all the same: by what it hears it knows that a path is alive.
const passEvery = 2 * time.Second

// take does what a packet asks, with again as the place for what it asks for once more. It reports false when the packet is not for it, or tells
// of other things than how our media fare: Pion gets that.
func (f *rtcpFastPath) take(packet []byte, again *arena) bool {
	defer f.in.contain("socket reader")
	plain, err := f.open.open(f.plain, packet)
	if err != nil {
		return err == errReplayed
	}
	f.plain = plain
	if now := time.Now(); now.Sub(f.gone) > passEvery || !onlyReports(plain) {
		f.gone = now
		return false
	}
	f.in.guard.at("socket reader")
	if feedback := f.in.report(plain); feedback != nil {
		eachFeedback(plain, feedback)
	}
	for p := range rtcpPackets(plain) {
		switch kindOfRTCP(p) {
		case rtcpReceiverReport:
			f.hand(&rtcp.ReceiverReport{}, p, again)
		case rtcpNACK:
			f.hand(&rtcp.TransportLayerNack{}, p, again)
		case rtcpREMB:
			f.hand(&rtcp.ReceiverEstimatedMaximumBitrate{}, p, again)
		}
	}
	return true
}

func (f *rtcpFastPath) hand(p rtcp.Packet, raw []byte, again *arena) {
	if p.Unmarshal(raw) == nil {
		f.on(p, again)
	}
}

// onlyReports says whether a compound packet holds nothing but what the fast path knows.
func onlyReports(compound []byte) bool {
	known := 0
	for p := range rtcpPackets(compound) {
		if k := kindOfRTCP(p); k == rtcpOther || k == rtcpKeyRequest {
			return false
		}
		known += len(p)
	}
	return known == len(compound)
}
