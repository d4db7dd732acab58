package lipsync

import (
	"time"

	"github.com/pion/rtcp"
)

// Clock converts the RTP times of one track to the sender's clock.
type Clock struct {
	Rate int // RTP ticks a second

	// Times is how many times as fast as time the RTP clock was measured to run; 0 means that it runs at Rate.
	Times float64

	source uint32 // the SSRC of the packets

	known bool          // there is a report
	ssrc  uint32        // of its sender
	ntp   time.Duration // since 1900
	stamp uint32        // the same moment in RTP ticks
}

// Packet records the SSRC of the track's packets: reports of other senders are ignored.
func (c *Clock) Packet(ssrc uint32) { c.source = ssrc }

// Report handles a sender report. An NTP time of zero comes from a sender without a clock (RFC 3550 section 6.4.1).
func (c *Clock) Report(r *rtcp.SenderReport) {
	c.known = r.NTPTime != 0
	c.ssrc, c.stamp = r.SSRC, r.RTPTime
	seconds, fraction := r.NTPTime>>32, r.NTPTime&0xffffffff
	c.ntp = time.Duration(seconds)*time.Second + time.Duration(fraction*1e9>>32)
}

// At returns when the unit with an RTP timestamp was captured; zero if unknown.
func (c *Clock) At(stamp uint32) time.Time {
	if !c.known || c.ssrc != c.source || c.Rate <= 0 {
		return time.Time{}
	}
	after := time.Duration(int64(int32(stamp-c.stamp)) * int64(time.Second) / int64(c.Rate))
	if c.Times > 0 {
		after = time.Duration(float64(after) / c.Times)
	}
	return time.Unix(-since1900, 0).Add(c.ntp + after)
}

// since1900 is the number of seconds from 1900, where NTP begins, to 1970.
const since1900 = 2_208_988_800
