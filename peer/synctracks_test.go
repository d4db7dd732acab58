package peer

import (
	"testing"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

// TestStepFor is what becomes of a track of the source, by what its section is.
func TestStepFor(t *testing.T) {
	some := &webrtc.RTPTransceiver{}
	takes := func(list ...media.Codec) func(media.Codec) bool {
		return func(codec media.Codec) bool {
			for _, c := range list {
				if c == codec {
					return true
				}
			}
			return false
		}
	}
	for _, x := range []struct {
		name  string
		s     section
		asked bool
		want  step
	}{
		{"there is no section", section{}, false, renegotiate},
		{"there is none, and it was asked for", section{}, true, renegotiate},
		{"our first offer names it", section{some, media.VP8, false, takes()}, false, leaveAlone},
		{"our offer of it waits", section{some, media.VP8, false, takes()}, true, renegotiate},
		{"it is sent", section{some, media.VP8, true, takes(media.VP8)}, false, carryTrack},
		{"another is sent, and it was negotiated", section{some, media.H264, true, takes(media.H264, media.VP8)}, false,
			switchCodec},
		{"another is sent, and it was not", section{some, media.H264, true, takes(media.H264)}, false, renegotiate},
		{"another is sent, and it was asked for", section{some, media.H264, true, takes(media.H264)}, true,
			renegotiate},
	} {
		if got := stepFor(media.VP8, x.s, x.asked); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
}
