package peer

import (
	"encoding/binary"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
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

// learnVideo reads parameter sets and size from a key frame. It reports whether t has changed.
func learnVideo(t *media.Track, f *media.Frame) bool {
	before := *t
	switch f.Codec {
	case media.H264:
		for _, u := range f.Data {
			switch u[0] & 0x1f {
			case nalSPS:
				var sps h264.SPS
				if sps.Unmarshal(u) == nil {
					t.SPS, t.Width, t.Height = u, sps.Width(), sps.Height()
				}
			case nalPPS:
				t.PPS = u
			}
		}
	case media.VP8:
		if d := f.Data[0]; len(d) >= 10 {
			t.Width = int(binary.LittleEndian.Uint16(d[6:]) & 0x3fff)
			t.Height = int(binary.LittleEndian.Uint16(d[8:]) & 0x3fff)
		}
	}
	return string(before.SPS) != string(t.SPS) || string(before.PPS) != string(t.PPS) || before.Width != t.Width || before.Height != t.Height
}
