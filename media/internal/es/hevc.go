package es

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/kvsagent/kvsagent/media"
)

// maxParamSize limits one parameter set; real ones are below 600 bytes.
const maxParamSize = 4 << 10

// hevc is H.265. Its parameter sets come before each key frame (ITU-T H.265, 7.4.2.4.4).
type hevc struct {
	vps, sps, pps []byte
	width, height int
	reorder       bool // by the SPS
	changed       bool
}

// hevcType returns the nal_unit_type (H.265, 7.3.1.2).
func hevcType(nal []byte) h265.NALUType {
	if len(nal) < 2 {
		return h265.NALUType_AUD_NUT // carries nothing
	}
	return h265.NALUType(nal[0] >> 1 & 0x3f)
}

func (v *hevc) set(sets ...[]byte) {
	for _, nal := range sets {
		v.keep(nal)
	}
}

// keep stores a parameter set and reports whether nal is one.
func (v *hevc) keep(nal []byte) bool {
	var at *[]byte
	switch hevcType(nal) {
	case h265.NALUType_VPS_NUT:
		at = &v.vps
	case h265.NALUType_SPS_NUT:
		at = &v.sps
	case h265.NALUType_PPS_NUT:
		at = &v.pps
	default:
		return false
	}
	if len(nal) > maxParamSize || bytes.Equal(*at, nal) {
		return true
	}
	if at == &v.sps && !v.read(nal) {
		return true
	}
	*at, v.changed = bytes.Clone(nal), true
	return true
}

// read reads the relevant parts of an SPS.
func (v *hevc) read(nal []byte) bool {
	var s h265.SPS
	if s.Unmarshal(nal) != nil || s.Width() < 1 || s.Height() < 1 || s.Width() > 16384 || s.Height() > 16384 {
		return false
	}
	v.width, v.height, v.reorder = s.Width(), s.Height(), false
	for _, n := range s.MaxNumReorderPics {
		v.reorder = v.reorder || n > 0
	}
	return true
}

func (v *hevc) next(data [][]byte) (u unit, ok bool) {
	var units [][]byte
	for _, nal := range data {
		kind := hevcType(nal)
		switch {
		case v.keep(nal), kind >= h265.NALUType_AUD_NUT && kind <= 38: // delimiter, ends, filler (H.265 table 7-1)
			continue
		case kind < 32:
			ok = true
			u.key = u.key || kind >= 16 && kind <= 23 // intra random access pictures
		}
		units = append(units, nal)
	}
	if u.key {
		if v.vps == nil || v.sps == nil || v.pps == nil {
			return u, false
		}
		units = append([][]byte{v.vps, v.sps, v.pps}, units...)
		u.changed, v.changed = v.changed, false
	}
	u.data = units
	return u, ok
}

func (v *hevc) track() media.Track {
	return media.Track{Codec: media.H265, Width: v.width, Height: v.height}
}

func (v *hevc) playable() error { return nil }

func (v *hevc) reorders(unit) bool { return v.reorder }
