package fanout

import (
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// longestRTT is the longest round trip that is believed: the times that it is made of are the remote's to write.
const longestRTT = time.Minute

// rtcpStats is what a remote's receiver reports tell of the path to it. The zero value is nothing yet.
type rtcpStats struct {
	rtt    time.Duration // of one of our sender reports, and back
	jitter time.Duration // of the arrival of our packets
}

// note takes one report, on a track with an RTP clock of rate Hz.
func (s *rtcpStats) note(r wire.ReportBlock, now time.Time, rate uint32) {
	s.jitter = time.Duration(r.Jitter()) * time.Second / time.Duration(rate)
	if r.LastSR() == 0 {
		return // it has seen none
	}
	// RFC 3550 section 6.4.1: in units of 1/65536 s, and modulo 18 hours.
	if rtt := time.Duration(int32(uint32(ntpTime(now)>>16)-r.LastSR()-r.Delay())) * time.Second >> 16; rtt >= 0 && rtt <= longestRTT {
		s.rtt = max(rtt, 1)
	}
}
