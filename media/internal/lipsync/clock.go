package lipsync

import (
	"time"

	"github.com/pion/rtcp"
)

// Clock says when the packets of one track were made, by the sender's clock.
type Clock struct {
	Rate int // RTP ticks a second

	source uint32 // who sends packets

	known bool          // there is a report
	ssrc  uint32        // of whom
	ntp   time.Duration // since 1900
	stamp uint32        // the same moment in RTP ticks
}

// Packet notes who sends the packets of the track: reports of others say nothing about them.
func (c *Clock) Packet(ssrc uint32) { c.source = ssrc }

// Report takes a sender report. One whose NTP time is zero comes from a sender that has no clock (RFC 3550 section
// 6.4.1).
func (c *Clock) Report(r *rtcp.SenderReport) {
	c.known = r.NTPTime != 0
	c.ssrc, c.stamp = r.SSRC, r.RTPTime
	seconds, fraction := r.NTPTime>>32, r.NTPTime&0xffffffff
	c.ntp = time.Duration(seconds)*time.Second + time.Duration(fraction*1e9>>32)
}

// At returns when the unit with an RTP timestamp was made; zero is not known.
func (c *Clock) At(stamp uint32) time.Time {
	if !c.known || c.ssrc != c.source || c.Rate <= 0 {
		return time.Time{}
	}
	ticks := int64(int32(stamp - c.stamp))
	return time.Unix(-since1900, 0).Add(c.ntp + time.Duration(ticks*int64(time.Second)/int64(c.Rate)))
}

// since1900 is how many seconds 1970 is after 1900, from which NTP counts.
const since1900 = 2_208_988_800
