// Package avc is a small H.264 Constrained Baseline encoder for pictures that are flat on blocks.
//
// Such a picture needs little of the standard. Its coded form is
//
//	SPS, PPS, then for each picture one slice, which is one NAL unit:
//	  IDR  each macroblock Intra_16x16, luma and chroma DC levels only, CAVLC
//	  P    runs of P_Skip for macroblocks that did not change, Intra_16x16 for those that did
//
// The deblocking filter is off and the quantiser fixed, so that the integer arithmetic below gives every decoder's
// pixels to the bit. At QP 18 a flat macroblock comes out exactly, and levels stay far inside what CAVLC can write.
package avc

import (
	"fmt"
	"image"
)

// At QP 18 the scale of a DC level is 160<<3 (H.264 section 8.5.9). After the inverse transforms a level of 1 changes a
// luma block by 20/64 of a grey level and a chroma block by 40/64. The forward transform sums over 16 or 4 blocks, so
// that a luma level is sum*64/20/16 = sum/5, and a chroma level is sum*64/40/4 = 2*sum/5.
const (
	qp   = 18
	step = 5
)

// zigzag is the scan of a 4x4 block (H.264 figure 8-8 a).
var zigzag = [16]int{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}

// Encoder makes one stream. It is used by one goroutine.
type Encoder struct {
	sps, pps []byte
	last     *Picture // what was asked for last
	recon    *Picture // what decoders show
	frameNum uint32
	idr      uint32
	slice    writer
}

// NewEncoder makes an encoder for pictures of the given size in pixels, both even, at rate frames a second.
func NewEncoder(size image.Point, rate int) (*Encoder, error) {
	if size.X <= 0 || size.Y <= 0 || size.X%2 != 0 || size.Y%2 != 0 {
		return nil, fmt.Errorf("size %dx%d: not even and above zero; hint: 4:2:0 pixels come in pairs", size.X, size.Y)
	}
	p := NewPicture(size)
	idc, err := level(p.MBs, rate)
	if err != nil {
		return nil, err
	}
	return &Encoder{sps: sps(size, p.MBs, rate, idc), pps: pps(), last: NewPicture(size), recon: p}, nil
}

// SPS returns the sequence parameter set, a NAL unit. It is not to be changed.
func (e *Encoder) SPS() []byte { return e.sps }

// PPS returns the picture parameter set, a NAL unit. It is not to be changed.
func (e *Encoder) PPS() []byte { return e.pps }

// Recon returns the last picture as decoders show it, good until the next Encode.
func (e *Encoder) Recon() *Picture { return e.recon }

// Encode codes p, which has the encoder's size, as one NAL unit. The first picture must be a key picture.
func (e *Encoder) Encode(p *Picture, key bool) []byte {
	e.slice.reset()
	header := byte(unitSlice)
	if key {
		header, e.frameNum = unitIDR, 0
		e.idr ^= 1 // two IDR pictures in a row must differ in idr_pic_id
	}
	e.sliceHeader(key)
	e.macroblocks(p, key)
	e.slice.trail()
	e.last.Copy(p)
	e.frameNum = (e.frameNum + 1) % (1 << frameNumLen)
	return e.slice.unit(header)
}

// sliceHeader writes slice_header (H.264 section 7.3.3).
func (e *Encoder) sliceHeader(key bool) {
	w := &e.slice
	w.ue(0) // first_mb_in_slice
	if key {
		w.ue(7) // I, like all slices of the picture
	} else {
		w.ue(5) // P, likewise
	}
	w.ue(0) // pic_parameter_set_id
	w.u(e.frameNum, frameNumLen)
	if key {
		w.ue(e.idr)
		w.flag(false) // no_output_of_prior_pics_flag
		w.flag(false) // long_term_reference_flag
	} else {
		w.flag(false) // num_ref_idx_active_override_flag
		w.flag(false) // ref_pic_list_modification_flag_l0
		w.flag(false) // adaptive_ref_pic_marking_mode_flag
	}
	w.se(0) // slice_qp_delta
	w.ue(1) // disable_deblocking_filter_idc
}

// macroblocks writes slice_data (H.264 section 7.3.4).
func (e *Encoder) macroblocks(p *Picture, key bool) {
	skipped := uint32(0)
	for y := range p.MBs.Y {
		for x := range p.MBs.X {
			if !key && p.same(e.last, x, y) {
				skipped++ // P_Skip: nothing here ever moves, so its motion vector is zero
				continue
			}
			if !key {
				e.slice.ue(skipped)
				skipped = 0
			}
			e.macroblock(p, x, y, key)
		}
	}
	if skipped > 0 {
		e.slice.ue(skipped)
	}
}

// macroblock writes macroblock_layer of an Intra_16x16 macroblock (H.264 section 7.3.5). Its neighbours have no AC
// levels, so nC is always 0.
func (e *Encoder) macroblock(p *Picture, x, y int, key bool) {
	w := &e.slice
	mode, luma := e.luma(p, x, y)
	chromaMode, cb, cr := e.chroma(p, x, y)
	chroma := cb != block2{} || cr != block2{}

	kind := 1 + mode // mb_type (H.264 table 7-11)
	if chroma {
		kind += 4
	}
	if !key {
		kind += 5 // after the five types of P (H.264 table 7-13)
	}
	w.ue(kind)
	w.ue(chromaMode)
	w.se(0) // mb_qp_delta
	w.levels(luma[:])
	if chroma {
		w.levels(cb[:])
		w.levels(cr[:])
	}
}

// divide returns n/d to the nearest integer, d odd.
func divide(n, d int32) int32 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}

func clip(v int32) byte { return byte(min(max(v, 0), 255)) }
