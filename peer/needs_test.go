package peer

import (
	"testing"

	"github.com/kvsagent/kvsagent/media"
)

func TestLacking(t *testing.T) {
	needs := []media.Codec{media.H264, media.Opus}
	for _, tt := range []struct {
		name string
		have []media.Codec
		want string // begins so; "": nothing is lacking
	}{
		{"both", []media.Codec{media.H264, media.Opus}, ""},
		{"more", []media.Codec{media.Opus, media.PCMU, media.H264}, ""},
		{"no sound", []media.Codec{media.H264},
			"the source has no opus, which the remote needs; it gives H264; hint: "},
		{"other sound", []media.Codec{media.H264, media.PCMU},
			"the source has no opus, which the remote needs; it gives H264 and PCMU; hint: "},
		{"other picture", []media.Codec{media.VP8, media.Opus},
			"the source has no H264, which the remote needs; it gives VP8 and opus; hint: "},
		{"neither", []media.Codec{media.H265},
			"the source has no H264 and no opus, which the remote needs; it gives H265; hint: "},
		{"nothing", nil, "the source has no H264 and no opus, which the remote needs; it gives nothing; hint: "},
	} {
		var tracks []media.Track
		for _, c := range tt.have {
			tracks = append(tracks, media.Track{Codec: c})
		}
		got := ""
		if err := lacking(tracks, needs); err != nil {
			got = err.Error()
		}
		if tt.want == "" && got != "" || len(got) < len(tt.want) || got[:len(tt.want)] != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := lacking(nil, nil); err != nil {
		t.Errorf("nothing is needed: %v", err)
	}
}
