package fanout

import (
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
)

// reportEvery is how often sender reports go out (RFC 3550 section 6.2 allows a fixed minimum; everybody uses about a
// second).
const reportEvery = time.Second

// keyEvery is how often one viewer's wish for a key frame is heard.
const keyEvery = time.Second

// OnReports does what a remote's compound packet asks, within bounds, and notes what it tells. It reads the packets
// where they lie. again is where packets go that it has asked for, for somebody else to flush; nil sends them at once.
func (s *Sender) OnReports(compound []byte, again *wire.Arena) {
	var asked, wished, reported bool
	for p := range wire.RTCPPackets(compound) {
		switch wire.KindOfRTCP(p) {
		case wire.RTCPNACK:
			asked = true
		case wire.RTCPKeyRequest:
			if !wished { // a datagram may hold hundreds
				wished = true
				s.keyRequested(time.Now())
			}
		case wire.RTCPReceiverReport:
			reported = s.onReceiverReport(p, reported)
		case wire.RTCPREMB:
			if rate, ok := wire.REMBRate(p); ok {
				s.estimated(time.Now(), rate)
			}
		}
	}
	if asked {
		s.retransmit(compound, again)
	}
}

// onReceiverReport notes what the remote reports on each of our tracks. What it reports on the picture counts once in a
// datagram; reported says that it did, before and after.
func (s *Sender) onReceiverReport(p []byte, reported bool) bool {
	now := time.Now()
	for r := range wire.ReportBlocks(p) {
		for _, t := range s.tracks {
			if t.onReport(r, now) && t == s.video && !reported {
				s.reported(now, r.Lost())
				reported = true
			}
		}
	}
	return reported
}

// onReport notes what the remote tells of this track: how many packets it has lost, and how its path is. It reports
// whether the block is on this track.
func (t *Track) onReport(r wire.ReportBlock, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.SSRC() != t.ssrc {
		return false
	}
	t.lost = r.TotalLost()
	t.stats.note(r, now, t.Codec.ClockRate())
	return true
}

// reports are the sender reports of all tracks that have sent something. All tie their RTP clocks to the wall clock by
// one PTS zero, that of the picture if there is one: the remote plays together what has the same PTS, whenever it came.
func (s *Sender) reports(now time.Time) []rtcp.Packet {
	var out []rtcp.Packet
	zero := s.zero()
	for _, t := range s.tracks {
		if r := t.report(now, zero); r != nil {
			out = append(out, r)
		}
	}
	return out
}

// zero is the wall clock at PTS zero, by the newest picture of the connection, or else by its newest sound.
func (s *Sender) zero() time.Time {
	clock := s.Clock
	if clock == nil {
		clock = &WallClock{}
	}
	for _, t := range s.tracks {
		clock.note(t)
	}
	return clock.zero()
}

// WallClock is the wall clock at PTS zero for all senders of one connection, so that the remote plays their sound and
// pictures together. The zero value knows none.
type WallClock struct {
	mu           sync.Mutex // guards the fields below
	video, audio mark
}

// mark is when a frame was taken, and the wall clock at PTS zero by that.
type mark struct{ taken, zero time.Time }

// clockLasts is how much older than the sound a picture may be to tell the time for both: a source may lose its
// picture.
const clockLasts = 10 * time.Second

func (c *WallClock) note(t *Track) {
	taken, zero := t.zero()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.audio
	if t.Codec.Video() {
		m = &c.video
	}
	if taken.After(m.taken) {
		*m = mark{taken, zero}
	}
}

func (c *WallClock) zero() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.video.taken.IsZero() || c.audio.taken.Sub(c.video.taken) > clockLasts {
		return c.audio.zero
	}
	return c.video.zero
}

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
	if rtt := time.Duration(int32(uint32(ntpTime(now)>>16)-r.LastSR()-r.Delay())) * time.Second >> 16; rtt >= 0 &&
		rtt <= longestRTT {
		s.rtt = max(rtt, 1)
	}
}
