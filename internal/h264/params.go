package h264

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Unit is an access unit in the form of media.Frame.
type Unit struct {
	NALs    [][]byte // no delimiters and no filler; in a key frame the parameter sets come first
	Key     bool     // an IDR picture
	Changed bool     // the parameter sets differ from those of the previous unit
}

// Params keeps the parameter sets of one stream and puts them before each key frame. The zero value has none. It is
// used by one goroutine at a time.
type Params struct {
	sps     []byte
	pps     [][]byte // one for each pic_parameter_set_id, in order of arrival, at most maxParams
	changed bool     // since the last unit
}

// Set passes parameter sets that came outside the stream (SDP, avcC). Invalid ones are ignored.
func (p *Params) Set(sets ...[]byte) {
	for _, nal := range sets {
		p.keep(nal)
	}
}

// SPS returns the current sequence parameter set, nil before the first.
func (p *Params) SPS() []byte { return p.sps }

// PPS returns the first picture parameter set, nil before the first.
func (p *Params) PPS() []byte {
	if len(p.pps) == 0 {
		return nil
	}
	return p.pps[0]
}

// Size returns the picture size in pixels of the current SPS, 0 x 0 before the first.
func (p *Params) Size() (width, height int) {
	if p.sps == nil {
		return 0, 0
	}
	width, height, _ = Size(p.sps) // keep accepts no invalid one
	return width, height
}

// Next takes the NAL units of one access unit in stream order and returns them in the form of media.Frame. ok is false
// when nothing is left to show (a unit of parameter sets or delimiters only), or when a key frame cannot be decoded
// because parameter sets are missing. The slices of au are shared, not copied.
func (p *Params) Next(au [][]byte) (u Unit, ok bool) {
	picture := false
	for _, nal := range au {
		switch t := Type(nal); {
		case t == h264.NALUTypeSPS || t == h264.NALUTypePPS:
			p.keep(nal)
		case vcl(nal):
			picture = true
			u.Key = u.Key || t == h264.NALUTypeIDR
		}
	}
	if !picture || u.Key && (p.sps == nil || len(p.pps) == 0) {
		return Unit{}, false
	}

	u.NALs = make([][]byte, 0, len(au)+1+len(p.pps))
	if u.Key {
		u.NALs = append(append(u.NALs, p.sps), p.pps...)
	}
	for _, nal := range au {
		if payload(nal, u.Key) {
			u.NALs = append(u.NALs, nal)
		}
	}
	u.Changed, p.changed = p.changed, false
	return u, true
}

// Enter makes a unit of Next that is no key frame one to begin with: its parameter sets come first. ok is false when
// they are not known.
func (p *Params) Enter(u Unit) (entry Unit, ok bool) {
	if p.sps == nil || len(p.pps) == 0 {
		return u, false
	}
	entry = Unit{Key: true, Changed: u.Changed, NALs: append([][]byte{p.sps}, p.pps...)}
	for _, nal := range u.NALs {
		if payload(nal, true) {
			entry.NALs = append(entry.NALs, nal)
		}
	}
	return entry, true
}

// payload reports whether a NAL unit of an access unit is passed on: not delimiters, ends and filler, and, in a key
// frame, not parameter sets, since those were put first.
func payload(nal []byte, key bool) bool {
	switch Type(nal) {
	case 0, h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeEndOfSequence, h264.NALUTypeEndOfStream,
		h264.NALUTypeFillerData:
		return false
	case h264.NALUTypeSPS, h264.NALUTypePPS:
		return !key
	}
	return true
}

// keep stores a parameter set, in place of the one that it overrides.
func (p *Params) keep(nal []byte) {
	if len(nal) < 2 || len(nal) > maxParamSize {
		return
	}
	switch Type(nal) {
	case h264.NALUTypeSPS:
		if bytes.Equal(nal, p.sps) {
			return
		}
		if _, _, err := Size(nal); err != nil {
			return
		}
		p.sps, p.pps, p.changed = bytes.Clone(nal), nil, true // a PPS means nothing without its SPS

	case h264.NALUTypePPS:
		p.keepPPS(nal)
	}
}

func (p *Params) keepPPS(nal []byte) {
	id := ppsID(nal)
	for i, old := range p.pps {
		if ppsID(old) != id {
			continue
		}
		if !bytes.Equal(old, nal) {
			p.pps[i], p.changed = bytes.Clone(nal), true
		}
		return
	}
	if len(p.pps) < maxParams {
		p.pps, p.changed = append(p.pps, bytes.Clone(nal)), true
	}
}

// ppsID returns pic_parameter_set_id (H.264, 7.3.2.2), or a number that no set can have.
func ppsID(nal []byte) uint32 {
	pos := 0
	id, err := bits.ReadGolombUnsigned(h264.EmulationPreventionRemove(nal[1:min(len(nal), 8)]), &pos)
	if err != nil {
		return 1 << 31
	}
	return id
}

// Settle marks the sets from Set as announced: the next unit is Changed only when it has different ones.
func (p *Params) Settle() { p.changed = false }
