package avc

import "math/bits"

// writer appends bits, most significant first, to a raw byte sequence payload (H.264 section 7.2).
type writer struct {
	buf  []byte
	acc  uint64 // the last n bits wait here
	free uint   // 64 - n
}

// reset empties w and keeps its memory.
func (w *writer) reset() { *w = writer{buf: w.buf[:0], free: 64} }

// u writes the low n bits of v, n at most 32: u(n).
func (w *writer) u(v uint32, n uint) {
	w.acc = w.acc<<n | uint64(v)
	w.free -= n
	for w.free <= 56 {
		pending := 64 - w.free
		w.buf = append(w.buf, byte(w.acc>>(pending-8)))
		w.free += 8
	}
}

// flag writes one bit: u(1).
func (w *writer) flag(on bool) {
	if on {
		w.u(1, 1)
	} else {
		w.u(0, 1)
	}
}

// ue writes v as an unsigned Exp-Golomb code: ue(v) (H.264 section 9.1).
func (w *writer) ue(v uint32) {
	n := uint(bits.Len32(v + 1))
	w.u(0, n-1)
	w.u(v+1, n)
}

// se writes v as a signed Exp-Golomb code: se(v) (H.264 section 9.1.1).
func (w *writer) se(v int32) {
	if v > 0 {
		w.ue(uint32(2*v - 1))
	} else {
		w.ue(uint32(-2 * v))
	}
}

// code writes a code word.
func (w *writer) code(c code) { w.u(uint32(c.bits), uint(c.n)) }

// trail ends the payload with rbsp_trailing_bits.
func (w *writer) trail() {
	w.u(1, 1)
	w.u(0, w.free%8)
}

// unit makes a NAL unit from its header byte and the payload so far: a byte 3 goes between two zeros and a byte below
// 4, so that no start code can come up inside (H.264 section 7.4.1).
func (w *writer) unit(header byte) []byte {
	out := make([]byte, 1, len(w.buf)+len(w.buf)/64+8)
	out[0] = header
	zeros := 0
	for _, b := range w.buf {
		if zeros == 2 && b <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		out = append(out, b)
		zeros++
		if b != 0 {
			zeros = 0
		}
	}
	return out
}
