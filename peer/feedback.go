package peer

import (
	"time"

	"github.com/pion/rtcp"
)

// reportEvery is how often sender reports go out (RFC 3550 section 6.2 allows a fixed minimum; everybody uses about a second).
const reportEvery = time.Second

// keyEvery is how often one viewer's wish for a key frame is heard.
const keyEvery = time.Second

// onRTCP does what a remote asks, within bounds, and notes what it tells. again is where packets go that it has asked for, for somebody else to flush; nil sends them at once.
func (s *sender) onRTCP(p rtcp.Packet, again *arena) {
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		var seqs []uint16
		for _, pair := range p.Nacks {
			seqs = append(seqs, pair.PacketList()...)
		}
		s.sendAgain(p.MediaSSRC, seqs, again)
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		if s.keyIsDue(time.Now()) {
			s.b.refresh(s)
		}
	case *rtcp.ReceiverReport:
		now := time.Now()
		for _, r := range p.Reports {
			for _, t := range s.tracks {
				t.onReport(r, now)
			}
			if s.video != nil && r.SSRC == s.video.source() {
				s.reported(now, float64(r.FractionLost)/256)
			}
		}
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		s.estimated(time.Now(), float64(p.Bitrate))
	}
}

func (s *sender) keyIsDue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plis++
	if now.Sub(s.asked) < keyEvery {
		return false
	}
	s.asked = now
	return true
}

// onReport notes what the remote tells of this track: how many packets it has lost, and how its path is (RFC 3550 section 6.4.1).
func (t *outTrack) onReport(r rtcp.ReceptionReport, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.SSRC == t.ssrc {
		t.lost = r.TotalLost
		t.stats.note(r, now, t.codec.ClockRate())
	}
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

// eachFeedback finds transport-wide feedback in a compound RTCP packet, and hands on what follows its header and SSRCs.
func eachFeedback(compound []byte, each func(fci []byte)) {
	for p := range rtcpPackets(compound) {
		if kindOfRTCP(p) == rtcpFeedback && len(p) >= 12 {
			each(p[12:])
		}
	}
}
