package peer

import (
	"time"

	"github.com/pion/rtcp"
)

// reportEvery is how often sender reports go out (RFC 3550 section 6.2 allows a fixed minimum; everybody uses about a second).
const reportEvery = time.Second

// keyEvery is how often one viewer's wish for a key frame is heard.
const keyEvery = time.Second

// onReports does what a remote's compound packet asks, within bounds, and notes what it tells. It reads the packets where they lie. again is where packets go that it has asked
// for, for somebody else to flush; nil sends them at once.
func (s *sender) onReports(compound []byte, again *arena) {
	var asked, wished, reported bool
	for p := range rtcpPackets(compound) {
		switch kindOfRTCP(p) {
		case rtcpNACK:
			asked = true
		case rtcpKeyRequest:
			if !wished { // a datagram may hold hundreds
				wished = true
				s.keyRequested(time.Now())
			}
		case rtcpReceiverReport:
			reported = s.onReceiverReport(p, reported)
		case rtcpREMB:
			if rate, ok := rembRate(p); ok {
				s.estimated(time.Now(), rate)
			}
		}
	}
	if asked {
		s.retransmit(compound, again)
	}
}

// onReceiverReport notes what the remote reports on each of our tracks. What it reports on the picture counts once in a datagram; reported says that it did, before and after.
func (s *sender) onReceiverReport(p []byte, reported bool) bool {
	now := time.Now()
	for r := range reportBlocks(p) {
		for _, t := range s.tracks {
			if t.onReport(r, now) && t == s.video && !reported {
				s.reported(now, r.lost())
				reported = true
			}
		}
	}
	return reported
}

// onReport notes what the remote tells of this track: how many packets it has lost, and how its path is. It reports whether the block is on this track.
func (t *outTrack) onReport(r reportBlock, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.ssrc() != t.ssrc {
		return false
	}
	t.lost = r.totalLost()
	t.stats.note(r, now, t.codec.ClockRate())
	return true
}

// reports are the sender reports of all tracks that have sent something. All tie their RTP clocks to the wall clock by one PTS zero, that of the
// picture if there is one: the remote plays together what has the same PTS, whenever it came.
func (s *sender) reports(now time.Time) []rtcp.Packet {
	var out []rtcp.Packet
	zero := s.zero()
	for _, t := range s.tracks {
		if r := t.report(now, zero); r != nil {
			out = append(out, r)
		}
	}
	return out
}

// zero is the wall clock at PTS zero, by the newest picture, or else by the newest sound.
func (s *sender) zero() (zero time.Time) {
	var newest time.Time
	var video bool
	for _, t := range s.tracks {
		at, z := t.zero()
		if !at.IsZero() && (t.codec.Video() && !video || t.codec.Video() == video && at.After(newest)) {
			newest, zero, video = at, z, t.codec.Video()
		}
	}
	return zero
}
