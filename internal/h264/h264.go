// Package h264 holds the parts of H.264 that sources and recorders share: picture size and rate of an SPS, slice types,
// parameter sets in the order of media.Frame, and access units of an Annex B byte stream.
//
// Bit parsing is mediacommon's; this package decides, limits and groups. Nothing in it panics or grows without limit on
// bytes that a camera or a file made up (see the fuzz tests).
package h264

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Limits on what one remote or file may make us store.
const (
	MaxUnitSize  = h264.MaxAccessUnitSize // bytes in one access unit
	MaxUnitNALs  = 512                    // NAL units in one access unit; pictures of 68 slices are real
	maxParamSize = 4 << 10                // bytes in one parameter set; real ones are below 600
	maxParams    = 8                      // picture parameter sets kept for one stream
	maxDimension = 16384                  // pixels; level 6.2 ends at 16880 (table A-1 and its note)
)

// Type returns the nal_unit_type of a NAL unit, 0 when it is empty (ITU-T H.264, table 7-1).
func Type(nal []byte) h264.NALUType {
	if len(nal) == 0 {
		return 0
	}
	return h264.NALUType(nal[0] & 0x1f)
}

// Size returns the picture size of an SPS NAL unit in pixels, after cropping.
func Size(sps []byte) (width, height int, err error) {
	var s h264.SPS
	if err := s.Unmarshal(sps); err != nil {
		return 0, 0, fmt.Errorf("sps: %w", err)
	}
	width, height = s.Width(), s.Height()
	if width < 1 || height < 1 || width > maxDimension || height > maxDimension {
		return 0, 0, fmt.Errorf("sps: picture of %d x %d pixels", width, height)
	}
	return width, height, nil
}

// FrameRate returns the frame rate in the VUI timing of an SPS NAL unit; 0 when it has none or an implausible one.
func FrameRate(sps []byte) float64 {
	var s h264.SPS
	if s.Unmarshal(sps) != nil {
		return 0
	}
	if fps := s.FPS(); fps >= 0.1 && fps <= 240 {
		return fps
	}
	return 0
}

// Playable returns why browsers cannot decode a stream with this SPS NAL unit, or nil: they support only 8 bits per
// sample and 4:2:0 (profiles up to High; High 10, 4:2:2 and 4:4:4 are for studios).
func Playable(sps []byte) error {
	var s h264.SPS
	if err := s.Unmarshal(sps); err != nil {
		return fmt.Errorf("sps: %w", err)
	}
	if s.ChromaFormatIdc != 1 || s.BitDepthLumaMinus8 != 0 || s.BitDepthChromaMinus8 != 0 {
		return fmt.Errorf("H.264 with %d bits a sample and %s (profile %d), which browsers do not decode",
			8+s.BitDepthLumaMinus8,
			chroma(s.ChromaFormatIdc), s.ProfileIdc)
	}
	return nil
}

// chroma names chroma_format_idc (H.264, table 6-1).
func chroma(id uint32) string {
	switch id {
	case 0:
		return "no colour"
	case 1:
		return "4:2:0"
	case 2:
		return "4:2:2"
	case 3:
		return "4:4:4"
	}
	return "an unknown chroma format"
}

// errSlice says that a NAL unit has no slice header.
var errSlice = errors.New("no slice header")

// sliceHeader reads the first two fields of the slice header of a slice NAL unit (H.264, 7.3.3).
func sliceHeader(nal []byte) (firstMB, sliceType uint32, err error) {
	if t := Type(nal); t != h264.NALUTypeNonIDR && t != h264.NALUTypeIDR && t != h264.NALUTypeDataPartitionA {
		return 0, 0, errSlice
	}
	head := h264.EmulationPreventionRemove(nal[1:min(len(nal), 16)])
	pos := 0
	if firstMB, err = bits.ReadGolombUnsigned(head, &pos); err != nil {
		return 0, 0, errSlice
	}
	if sliceType, err = bits.ReadGolombUnsigned(head, &pos); err != nil {
		return 0, 0, errSlice
	}
	return firstMB, sliceType, nil
}

// Bidirectional reports whether an access unit has B slices: pictures that are shown before others that come earlier in
// the stream. WebRTC cannot carry them, since a packet has only one time (RFC 6184 sends in decoding order; browsers
// show in order of arrival).
func Bidirectional(au [][]byte) bool {
	for _, nal := range au {
		if _, t, err := sliceHeader(nal); err == nil && t%5 == 1 { // table 7-6: 1 and 6 are B
			return true
		}
	}
	return false
}

// FirstMB returns the first macroblock of a NAL unit that is a slice. It is -1 for a slice that does not say, such as a
// data partition.
func FirstMB(nal []byte) (first int, slice bool) {
	if !vcl(nal) {
		return 0, false
	}
	n, _, err := sliceHeader(nal)
	if err != nil {
		return -1, true
	}
	return int(min(n, 1<<30)), true
}

// Leads reports whether a NAL unit that is no slice begins an access unit when it follows a picture (H.264, 7.4.1.2.3).
func Leads(nal []byte) bool {
	t := Type(nal)
	return t >= h264.NALUTypeSEI && t <= h264.NALUTypeAccessUnitDelimiter || t >= 14 && t <= 18
}

// Recovers reports whether an access unit has a recovery point message (H.264, D.2.8): who begins there has the whole
// picture after a while, though there is no IDR picture, as with intra refresh.
func Recovers(au [][]byte) bool {
	for _, nal := range au {
		if Type(nal) != h264.NALUTypeSEI {
			continue
		}
		for b := nal[1:]; len(b) >= 2 && b[0] != 0x80; {
			if b[0] == 6 {
				return true
			}
			kind, size := 0, 0
			for _, n := range []*int{&kind, &size} {
				for len(b) > 0 && b[0] == 0xff {
					*n, b = *n+255, b[1:]
				}
				if len(b) > 0 {
					*n, b = *n+int(b[0]), b[1:]
				}
			}
			b = b[min(size, len(b)):]
		}
	}
	return false
}

// vcl reports whether a NAL unit is a part of a coded picture.
func vcl(nal []byte) bool {
	t := Type(nal)
	return t >= h264.NALUTypeNonIDR && t <= h264.NALUTypeIDR
}

// SplitLengths splits a sample of an MP4 into NAL units, each after its length in lengthSize bytes (ISO/IEC 14496-15,
// 5.3.4.2). The slices share b.
func SplitLengths(b []byte, lengthSize int) ([][]byte, error) {
	if lengthSize != 1 && lengthSize != 2 && lengthSize != 4 {
		return nil, fmt.Errorf("NAL unit lengths of %d bytes", lengthSize)
	}
	var au [][]byte
	for len(b) > 0 {
		if len(b) < lengthSize {
			return nil, errors.New("a NAL unit length is cut off")
		}
		n := uint32(0)
		for _, digit := range b[:lengthSize] {
			n = n<<8 | uint32(digit)
		}
		b = b[lengthSize:]
		if uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("NAL unit of %d bytes in %d", n, len(b))
		}
		if n > 0 {
			au = append(au, b[:n:n])
		}
		b = b[n:]
		if len(au) > MaxUnitNALs {
			return nil, fmt.Errorf("more than %d NAL units in an access unit", MaxUnitNALs)
		}
	}
	return au, nil
}
