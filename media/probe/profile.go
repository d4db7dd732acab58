package probe

import (
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

var errBFrames = es.ErrBFrames

// profile is what the parameter sets contain.
type profile struct {
	name      string
	bad       string // why no browser decodes it
	reordered bool
}

// track reads the announced parameter sets, for streams that never reach a frame.
func (p *profile) track(t media.Track) {
	if p.name == "" && t.Codec == media.H264 && len(t.SPS) >= 4 {
		p.avc(t.SPS)
	}
}

// look reads the parameter sets of a key frame.
func (p *profile) look(f *media.Frame) {
	switch f.Codec {
	case media.H264:
		if len(f.Data) > 0 && len(f.Data[0]) >= 4 {
			p.avc(f.Data[0])
		}
	case media.H265:
		var s h265.SPS
		if len(f.Data) > 1 && s.Unmarshal(f.Data[1]) == nil {
			p.name = fmt.Sprintf("%s, level %.1f",
				map[uint8]string{1: "Main", 2: "Main 10", 3: "Main Still Picture",
					4: "Range Extensions"}[s.ProfileTierLevel.GeneralProfileIdc],
				float64(s.ProfileTierLevel.GeneralLevelIdc)/30)
		}
	}
}

// avc reads profile_idc, the constraints and level_idc (H.264, 7.3.2.1.1).
func (p *profile) avc(sps []byte) {
	idc, constraints, level := sps[1], sps[2], sps[3]
	name := map[byte]string{66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 122: "High 4:2:2",
		244: "High 4:4:4"}[idc]
	switch {
	case idc == 66 && constraints&0x40 != 0:
		name = "Constrained Baseline"
	case idc == 100 && constraints&0x0c == 0x0c:
		name = "Constrained High"
	case name == "":
		name = fmt.Sprintf("profile %d", idc)
	}
	p.name = fmt.Sprintf("%s, level %d.%d", name, level/10, level%10)
	if err := h264.Playable(sps); err != nil {
		p.bad = err.Error()
	}
}

func percentile(ds []time.Duration, p int) time.Duration {
	slices.Sort(ds)
	return ds[(len(ds)-1)*p/100]
}
