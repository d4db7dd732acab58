package es

import (
	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// Part is what a NAL unit says about the borders of access units.
type Part struct {
	Slice bool
	First int  // where in the picture a slice begins: 0 is its beginning, -1 means that it does not say
	Leads bool // no slice, but it begins an access unit when it follows a picture: a delimiter, parameter sets
	Key   bool // a slice of a key frame
}

// PartOf reads the header of a NAL unit of H.264 or H.265.
func PartOf(codec media.Codec, nal []byte) (p Part) {
	if codec == media.H264 {
		p.First, p.Slice = h264.FirstMB(nal)
		p.Leads = !p.Slice && h264.Leads(nal)
		p.Key = p.Slice && h264.Type(nal) == 5
		return p
	}
	kind := hevcType(nal)
	switch {
	case len(nal) < 3: // nothing
	case kind < 32:
		// Where others begin is known only with the parameter sets.
		p.Slice, p.First, p.Key = true, -1, kind >= 16 && kind <= 23
		if nal[2]&0x80 != 0 {
			p.First = 0
		}
	default: // H.265, 7.4.2.4.4
		p.Leads = kind <= 35 || kind == 39 || kind >= 41 && kind <= 44 || kind >= 48 && kind <= 55
	}
	return p
}
