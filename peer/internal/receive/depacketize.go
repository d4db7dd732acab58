package receive

import (
	"encoding/binary"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/kvsagent/kvsagent/media"
)

// split takes an assembled frame apart into the units of media.Frame, and says whether it is a key frame.
func split(codec media.Codec, data []byte) (units [][]byte, key bool) {
	switch codec {
	case media.H264:
		for len(data) > 4 {
			n := binary.BigEndian.Uint32(data)
			data = data[4:]
			if n == 0 || uint64(n) > uint64(len(data)) {
				return nil, false
			}
			units = append(units, data[:n:n])
			key = key || h264.NALUType(data[0]&0x1f) == h264.NALUTypeIDR
			data = data[n:]
		}
		return units, key
	case media.H265:
		var au h264.AnnexB // the same in both
		if au.Unmarshal(data) != nil {
			return nil, false
		}
		return au, h265.IsRandomAccess(au)
	case media.VP9:
		if len(data) == 0 {
			return nil, false
		}
		return [][]byte{data}, vp9.IsRandomAccess(data)
	case media.AV1:
		var tu av1.Bitstream
		if tu.Unmarshal(data) != nil {
			return nil, false
		}
		return [][]byte{data}, av1.IsRandomAccess2(tu)
	case media.VP8:
		if len(data) == 0 {
			return nil, false
		}
		return [][]byte{data}, data[0]&1 == 0 // RFC 6386 section 9.1
	}
	if len(data) == 0 {
		return nil, false
	}
	return [][]byte{data}, false
}

// hasSets says whether H.264 units hold parameter sets, without which a key frame is of no use.
func hasSets(units [][]byte) bool {
	for _, u := range units {
		if h264.NALUType(u[0]&0x1f) == h264.NALUTypeSPS {
			return true
		}
	}
	return false
}

// learnVideo reads parameter sets and size from a key frame. It reports whether t has changed.
func learnVideo(t *media.Track, f *media.Frame) bool {
	before := *t
	switch f.Codec {
	case media.H264:
		for _, u := range f.Data {
			switch h264.NALUType(u[0] & 0x1f) {
			case h264.NALUTypeSPS:
				var sps h264.SPS
				if sps.Unmarshal(u) == nil {
					t.SPS, t.Width, t.Height = u, sps.Width(), sps.Height()
				}
			case h264.NALUTypePPS:
				t.PPS = u
			}
		}
	case media.H265:
		for _, u := range f.Data {
			var sps h265.SPS
			if len(u) > 2 && h265.NALUType(u[0]>>1&0x3f) == h265.NALUType_SPS_NUT && sps.Unmarshal(u) == nil {
				t.Width, t.Height = sps.Width(), sps.Height()
			}
		}
	case media.VP9:
		var h vp9.Header
		if h.Unmarshal(f.Data[0]) == nil {
			t.Width, t.Height = h.Width(), h.Height()
		}
	case media.AV1:
		var tu av1.Bitstream
		if tu.Unmarshal(f.Data[0]) != nil {
			break
		}
		for _, obu := range tu {
			var h av1.SequenceHeader
			if len(obu) > 0 && av1.OBUType(obu[0]>>3&0xf) == av1.OBUTypeSequenceHeader && h.Unmarshal(obu) == nil {
				t.Width, t.Height = h.Width(), h.Height()
			}
		}
	case media.VP8:
		if d := f.Data[0]; len(d) >= 10 {
			t.Width = int(binary.LittleEndian.Uint16(d[6:]) & 0x3fff)
			t.Height = int(binary.LittleEndian.Uint16(d[8:]) & 0x3fff)
		}
	}
	return string(before.SPS) != string(t.SPS) || string(before.PPS) != string(t.PPS) || before.Width != t.Width ||
		before.Height != t.Height
}
