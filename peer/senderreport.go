package peer

import (
	"time"

	"github.com/kvsagent/kvsagent/media"
)

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

func (t *TrackReport) fill(m *media.Meter) {
	t.Frames, t.KeyFrames, t.Bytes = m.Frames, m.KeyFrames, m.Bytes
	t.FPS, t.Bitrate = m.Rates(time.Now())
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
