package peer

import (
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Report is a connection at one moment.
type Report struct {
	State         State
	Offered       bool // we made the first offer; else the remote did
	Began         time.Time
	Stages        Stages
	Local, Remote string        // types of the chosen candidates: host, srflx, prflx, relay
	RTT           time.Duration // by the remote's receiver reports, before the first by ICE
	Jitter        time.Duration // of the arrival of our pictures, by the remote's receiver reports
	Direct        bool          // what we send goes straight into the shared socket, not through Pion
	Level         Level
	Moves         uint64        // from one level to another
	Estimate      float64       // bit/s that the path carries, as far as is known; 0 is not
	Behind        time.Duration // that a picture waits, here and in the path's queue
	Sending       []TrackReport // the tracks there are now
	Sent          uint64        // bytes of media, of tracks that have given way, too
	Receiving     []TrackReport
	Unasked       uint64 // bytes of media that came though we asked for none, and were thrown away
}

// TrackReport is one track of a connection.
type TrackReport struct {
	media.Track
	Frames, KeyFrames, Bytes uint64
	Packets, Lost            uint64            // received, or lost by the remote's own account
	Resent                   uint64            // packets, because the remote asked
	KeysAsked                uint64            // key frames that the remote asked for
	Dropped                  uint64            // frames that the remote did not get
	DroppedFor               map[string]uint64 // those, by reason
	FPS, Bitrate             float64
}

// Report tells how the connection is.
func (c *Conn) Report() (r Report) {
	defer c.guard.contain("report")
	r = c.progress.report()
	l := c.current()
	c.outgoing.report(&r)
	if l == nil {
		return r
	}
	if l.receiver != nil {
		r.Receiving = l.receiver.report()
	}
	r.Unasked = l.inbound.unasked.bytes.Load()
	if r.State != Negotiating {
		r.path(l)
	}
	return r
}

// path fills in the chosen candidate pair.
func (r *Report) path(l *link) {
	if pair := l.pair(); pair != nil {
		r.Local, r.Remote = pair.Local.Typ.String(), pair.Remote.Typ.String()
	}
	stats, ok := l.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if ok && r.RTT == 0 {
		r.RTT = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	}
}

func (s *sender) describe(r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Level, r.Moves, r.Behind = s.level, s.moves, s.behind(time.Now())
	if s.video != nil {
		stats := s.video.rtcpStats()
		r.RTT, r.Jitter = stats.rtt, stats.jitter
		path := s.video.pathState()
		r.Estimate = path.Estimate
		r.Behind += path.Queue
	}
}

func (s *sender) report() []TrackReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []TrackReport
	for _, codec := range sorted(s.meters) {
		t := TrackReport{Track: media.Track{Codec: codec}, Dropped: s.dropped[codec].total(), DroppedFor: s.dropped[codec].byReason()}
		s.tracks[codec].account(&t)
		if codec.Video() {
			t.Resent, t.KeysAsked = s.resent, s.plis
		}
		t.fill(s.meters[codec])
		out = append(out, t)
	}
	return out
}

// firstPacket is when the first packet was sent; zero is not yet.
func (s *sender) firstPacket() (first time.Time) {
	for _, t := range s.tracks {
		if at := t.began(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (t *outTrack) began() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.firstAt
}

func (t *outTrack) rtcpStats() rtcpStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

func (t *outTrack) account(r *TrackReport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Packets, r.Lost = uint64(t.sent), uint64(t.lost)
}

func (r *receiver) report() []TrackReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []TrackReport
	for _, track := range r.tracks {
		n := r.counts[track.Codec]
		t := TrackReport{Track: track, Packets: n.packets, Lost: n.lost}
		t.fill(r.meters[track.Codec])
		out = append(out, t)
	}
	return out
}

func (t *TrackReport) fill(m *media.Meter) {
	t.Frames, t.KeyFrames, t.Bytes = m.Frames, m.KeyFrames, m.Bytes
	t.FPS, t.Bitrate = m.Rates(time.Now())
}

// sorted gives the codecs of meters, video first.
func sorted(meters map[media.Codec]*media.Meter) []media.Codec {
	var video, audio []media.Codec
	for c := range meters {
		if c.Video() {
			video = append(video, c)
		} else {
			audio = append(audio, c)
		}
	}
	return append(video, audio...)
}
