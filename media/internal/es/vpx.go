package es

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"

	"github.com/kvsagent/kvsagent/media"
)

// vpx is a codec whose access unit is one piece, with everything that a decoder needs in the key frame: VP8, VP9 or
// AV1.
type vpx struct {
	codec media.Codec
	look  func(frame []byte) (key bool, width, height int)

	width, height int
}

func (v *vpx) next(data [][]byte) (u unit, ok bool) {
	frame := bytes.Join(data, nil)
	if len(data) == 1 {
		frame = data[0]
	}
	if len(frame) == 0 {
		return u, false
	}
	key, width, height := v.look(frame)
	if key && width > 0 && (width != v.width || height != v.height) {
		v.width, v.height, u.changed = width, height, true
	}
	u.key, u.data = key, [][]byte{frame}
	return u, true
}

func (v *vpx) track() media.Track {
	return media.Track{Codec: v.codec, Width: v.width, Height: v.height}
}

func (v *vpx) playable() error { return nil }

func (v *vpx) reorders(unit) bool { return false } // hidden frames travel inside of those that are shown

// lookVP8 reads the uncompressed header (RFC 6386, section 9.1).
func lookVP8(b []byte) (key bool, width, height int) {
	if b[0]&1 != 0 || len(b) < 10 || b[3] != 0x9d || b[4] != 0x01 || b[5] != 0x2a {
		return false, 0, 0
	}
	return true, int(b[7]&0x3f)<<8 | int(b[6]), int(b[9]&0x3f)<<8 | int(b[8])
}

// lookVP9 reads the uncompressed header (VP9 bitstream specification, section 6.2).
func lookVP9(b []byte) (key bool, width, height int) {
	var h vp9.Header
	if h.Unmarshal(b) != nil || h.NonKeyFrame || h.ShowExistingFrame {
		return false, 0, 0
	}
	if h.FrameSize == nil {
		return true, 0, 0
	}
	return true, h.Width(), h.Height()
}

// lookAV1 looks for a sequence header, which begins each coded video sequence (AV1 bitstream specification, section
// 7.5).
func lookAV1(b []byte) (key bool, width, height int) {
	var tu av1.Bitstream
	if tu.Unmarshal(b) != nil {
		return false, 0, 0
	}
	for _, obu := range tu {
		var h av1.SequenceHeader
		if len(obu) > 0 && av1.OBUType(obu[0]>>3&0xf) == av1.OBUTypeSequenceHeader {
			if h.Unmarshal(obu) != nil {
				return true, 0, 0
			}
			return true, h.Width(), h.Height()
		}
	}
	return false, 0, 0
}
