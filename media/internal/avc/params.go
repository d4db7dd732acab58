package avc

import (
	"fmt"
	"image"
)

// NAL unit types, with nal_ref_idc 3 for all: everything is referred to (H.264 table 7-1).
const (
	unitSlice = 3<<5 | 1
	unitIDR   = 3<<5 | 5
	unitSPS   = 3<<5 | 7
	unitPPS   = 3<<5 | 8
)

const (
	profile     = 66   // Baseline
	constraints = 0xC0 // constraint_set0_flag and constraint_set1_flag: Constrained Baseline (H.264 section A.2.1.1)
	frameNumLen = 8    // bits of frame_num
)

// limits is what a level allows (H.264 table A-1).
type limits struct {
	idc        byte
	mbs, speed int // macroblocks a frame, and a second
}

// level is the lowest level for frames of the given size in macroblocks.
func level(mbs image.Point, rate int) (byte, error) {
	n := mbs.X * mbs.Y
	for _, l := range [...]limits{
		{10, 99, 1485}, {11, 396, 3000}, {12, 396, 6000}, {13, 396, 11880}, {20, 396, 11880}, {21, 792, 19800},
		{22, 1620, 20250}, {30, 1620, 40500}, {31, 3600, 108000}, {32, 5120, 216000}, {40, 8192, 245760},
		{42, 8704, 522240}, {50, 22080, 589824}, {51, 36864, 983040}, {52, 36864, 2073600},
	} {
		// No side is longer than sqrt(8*MaxFS) (H.264 section A.3.1).
		if n <= l.mbs && n*rate <= l.speed && mbs.X*mbs.X <= 8*l.mbs && mbs.Y*mbs.Y <= 8*l.mbs {
			return l.idc, nil
		}
	}
	return 0, fmt.Errorf("%d macroblocks a frame at %d frames a second: more than level 5.2 of H.264 allows; hint: a "+
		"smaller size or rate", n, rate)
}

// sps writes the sequence parameter set (H.264 section 7.3.2.1.1).
func sps(size, mbs image.Point, rate int, level byte) []byte {
	var w writer
	w.reset()
	w.u(profile, 8)
	w.u(constraints, 8)
	w.u(uint32(level), 8)
	w.ue(0)               // seq_parameter_set_id
	w.ue(frameNumLen - 4) // log2_max_frame_num_minus4
	w.ue(2)               // pic_order_cnt_type: output order is decoding order
	w.ue(1)               // max_num_ref_frames
	w.flag(false)         // gaps_in_frame_num_value_allowed_flag
	w.ue(uint32(mbs.X - 1))
	w.ue(uint32(mbs.Y - 1))
	w.flag(true) // frame_mbs_only_flag
	w.flag(true) // direct_8x8_inference_flag
	right, bottom := (16*mbs.X-size.X)/2, (16*mbs.Y-size.Y)/2
	w.flag(right > 0 || bottom > 0) // frame_cropping_flag, in units of two pixels
	if right > 0 || bottom > 0 {
		w.ue(0)
		w.ue(uint32(right))
		w.ue(0)
		w.ue(uint32(bottom))
	}
	w.flag(true) // vui_parameters_present_flag
	w.vui(rate)
	w.trail()
	return w.unit(unitSPS)
}

// vui writes the video usability information (H.264 section E.1.1): square pixels, BT.709, and that no frame waits for
// another.
func (w *writer) vui(rate int) {
	w.flag(true) // aspect_ratio_info_present_flag
	w.u(1, 8)    // 1:1
	w.flag(false)
	w.flag(true)  // video_signal_type_present_flag
	w.u(5, 3)     // unspecified format
	w.flag(false) // video_full_range_flag
	w.flag(true)  // colour_description_present_flag
	w.u(1, 8)     // primaries of BT.709
	w.u(1, 8)     // transfer of BT.709
	w.u(1, 8)     // matrix of BT.709
	w.flag(false) // chroma_loc_info_present_flag
	w.flag(true)  // timing_info_present_flag
	w.u(1, 32)    // num_units_in_tick: a tick is a field
	w.u(uint32(2*rate), 32)
	w.flag(false) // fixed_frame_rate_flag: a late source leaves frames out
	w.flag(false) // nal_hrd_parameters_present_flag
	w.flag(false) // vcl_hrd_parameters_present_flag
	w.flag(false) // pic_struct_present_flag
	w.flag(true)  // bitstream_restriction_flag
	w.flag(false) // motion_vectors_over_pic_boundaries_flag
	w.ue(0)       // max_bytes_per_pic_denom: no limit
	w.ue(0)       // max_bits_per_mb_denom: no limit
	w.ue(0)       // log2_max_mv_length_horizontal
	w.ue(0)       // log2_max_mv_length_vertical
	w.ue(0)       // max_num_reorder_frames
	w.ue(1)       // max_dec_frame_buffering
}

// pps writes the picture parameter set (H.264 section 7.3.2.2).
func pps() []byte {
	var w writer
	w.reset()
	w.ue(0)       // pic_parameter_set_id
	w.ue(0)       // seq_parameter_set_id
	w.flag(false) // entropy_coding_mode_flag: CAVLC
	w.flag(false) // bottom_field_pic_order_in_frame_present_flag
	w.ue(0)       // num_slice_groups_minus1
	w.ue(0)       // num_ref_idx_l0_default_active_minus1
	w.ue(0)       // num_ref_idx_l1_default_active_minus1
	w.flag(false) // weighted_pred_flag
	w.u(0, 2)     // weighted_bipred_idc
	w.se(qp - 26) // pic_init_qp_minus26
	w.se(0)       // pic_init_qs_minus26
	w.se(0)       // chroma_qp_index_offset
	w.flag(true)  // deblocking_filter_control_present_flag
	w.flag(false) // constrained_intra_pred_flag
	w.flag(false) // redundant_pic_cnt_present_flag
	w.trail()
	return w.unit(unitPPS)
}
