package fanout

import (
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// senderReport is how a sender stands.
type senderReport struct {
	Level       Level
	Moves       uint64        // from one level to another
	RTT, Jitter time.Duration // by the remote's receiver reports
	Estimate    float64       // bit/s that the path carries, as far as is known; 0 is not
	Behind      time.Duration // that a picture waits, here and in the path's queue
}

// Describe says how a sender of pictures stands; ok is false for one of sound alone.
func (s *Sender) Describe() (r senderReport, ok bool) {
	if s.video == nil {
		return r, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats, path := s.video.rtcpStats(), s.video.pathState()
	return senderReport{
		Level: s.level, Moves: s.moves, RTT: stats.rtt, Jitter: stats.jitter, Estimate: path.Estimate,
		Behind: s.behind(time.Now()) + path.Queue,
	}, true
}

// Report gives the tracks that are sent.
func (s *Sender) Report() []TrackReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []TrackReport
	for _, codec := range sorted(s.meters) {
		t := TrackReport{Track: media.Track{Codec: codec}, Dropped: s.dropped[codec].total(),
			DroppedFor: s.dropped[codec].byReason()}
		t.Paused = s.pausedFor(codec)
		s.tracks[codec].account(&t)
		if codec.Video() {
			t.Resent, t.KeysAsked = s.resent, s.plis
		}
		t.fill(s.meters[codec])
		out = append(out, t)
	}
	return out
}

// FirstPacket is when the first packet was sent; zero is not yet.
func (s *Sender) FirstPacket() (first time.Time) {
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
	Paused                   bool // the remote does not want to receive it
}
