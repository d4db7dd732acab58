package fanout

import (
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// TestSoundFollowsOnTheSample: a source that moves its sound little by little, or rounds its times, costs no sample; a
// gap stays a gap. The sender report says where the sound belongs.
func TestSoundFollowsOnTheSample(t *testing.T) {
	const ms = time.Millisecond
	frame20, frame60 := []byte{31 << 3, 1}, []byte{31<<3 | 3, 3} // RFC 6716 section 3.1: 20 ms, and three of them
	for _, tt := range []struct {
		name  string
		codec media.Codec
		data  []byte
		step  time.Duration
		want  uint32 // from one RTP time to the next
	}{
		{"on time", media.Opus, frame20, 20 * ms, 960},
		{"moved back", media.Opus, frame20, 19 * ms, 960},
		{"moved on", media.Opus, frame20, 21 * ms, 960},
		{"three frames, moved on", media.Opus, frame60, 63 * ms, 2880},
		{"G.711, moved back", media.PCMU, make([]byte, 160), 19 * ms, 160},
		{"a gap", media.Opus, frame20, 40 * ms, 1920},
		{"a gap of little", media.Opus, frame20, 23 * ms, 1104},
		{"a picture", media.H264, []byte{0x65, 1}, 39 * ms, 3510},
	} {
		t.Run(tt.name, func(t *testing.T) {
			track := NewTrack(tt.codec)
			track.w = nowhere{t}
			begin := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
			var last uint32
			const frames = 50
			for n := range frames {
				pts := time.Duration(n) * tt.step
				track.begin(whole(&packets{frame: &media.Frame{Codec: tt.codec, PTS: pts, Captured: begin.Add(pts),
					Data: [][]byte{tt.data}}, payloads: make([]payload, 1)}))
				if got := track.stamp - last; n > 0 && got != tt.want {
					t.Fatalf("frame %d: RTP time goes on by %d, want %d", n, got, tt.want)
				}
				last = track.stamp
			}
			_, zero := track.zero()
			if r := track.report(begin.Add((frames-1)*tt.step), zero); r.RTPTime != last {
				t.Errorf("the last frame is at %d by the report, and at %d by its packets", r.RTPTime, last)
			}
		})
	}
}

// TestSenderReportsGoByPTS: sound that came late, and has the PTS of its picture, is reported beside it.
func TestSenderReportsGoByPTS(t *testing.T) {
	video, audio, before := NewTrack(media.H264), NewTrack(media.Opus), NewTrack(media.VP8)
	s := &Sender{tracks: map[media.Codec]*Track{}}
	begin := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
	for _, x := range []struct {
		track *Track
		taken time.Duration
	}{{video, 10 * time.Second}, {audio, 10400 * time.Millisecond}, {before, time.Second}} {
		s.tracks[x.track.Codec], x.track.w = x.track, nowhere{t}
		x.track.begin(whole(&packets{frame: &media.Frame{Codec: x.track.Codec, PTS: 10 * time.Second,
			Captured: begin.Add(x.taken)}, payloads: make([]payload, 1)}))
	}
	if got, want := s.zero(), begin; !got.Equal(want) {
		t.Errorf("PTS zero is at %v, want %v, as the newest picture says", got, want)
	}
	now := begin.Add(11 * time.Second)
	for _, track := range []*Track{video, audio} {
		want := track.stamp + track.Codec.ClockRate()
		if r := track.report(now, s.zero()); r.RTPTime != want {
			t.Errorf("%s: RTP time %d, want %d, a second after PTS 10 s", track.Codec, r.RTPTime, want)
		}
	}
	if n := len(s.reports(now)); n != 3 {
		t.Errorf("%d reports of three tracks", n)
	}
}
