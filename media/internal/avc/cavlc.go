package avc

// levels writes the transform coefficient levels of one block, in zigzag order: residual_block_cavlc (H.264 sections
// 7.3.5.3.2 and 9.2). The block is luma DC (16 levels, nC 0) or chroma DC (4 levels). Levels lie within ±2063, so that
// level_prefix is at most 15, as Baseline demands.
func (w *writer) levels(block []int32) {
	coeffToken, totalZeros := coeffTokenLuma[:], totalZerosLuma[:]
	if len(block) == 4 {
		coeffToken, totalZeros = coeffTokenChroma[:], totalZerosChroma[:]
	}
	var store [16]coeff
	coeffs, ones := scan(store[:0], block)
	w.code(coeffToken[len(coeffs)][ones])
	if len(coeffs) == 0 {
		return
	}
	for _, c := range coeffs[:ones] {
		w.flag(c.level < 0) // trailing_ones_sign_flag
	}
	w.rest(coeffs, ones)

	zeros := 0
	for _, c := range coeffs {
		zeros += c.run
	}
	if len(coeffs) < len(block) {
		w.code(totalZeros[len(coeffs)-1][zeros])
	}
	for _, c := range coeffs[:len(coeffs)-1] {
		if zeros == 0 {
			break
		}
		w.code(runBefore[min(zeros, 7)-1][c.run])
		zeros -= c.run
	}
}

// coeff is a level that is not zero, and the number of zeros before it.
type coeff struct {
	level int32
	run   int
}

// scan appends the coefficients of block to coeffs, last first, and counts those that lead it with a level of ±1: the
// trailing ones, three at most.
func scan(coeffs []coeff, block []int32) (_ []coeff, ones int) {
	for i := len(block) - 1; i >= 0; i-- {
		if block[i] != 0 {
			coeffs = append(coeffs, coeff{level: block[i]})
		} else if len(coeffs) > 0 {
			coeffs[len(coeffs)-1].run++
		}
	}
	for ones < min(3, len(coeffs)) && (coeffs[ones].level == 1 || coeffs[ones].level == -1) {
		ones++
	}
	return coeffs, ones
}

// rest writes the levels after the trailing ones as level_prefix and level_suffix (H.264 section 9.2.2.1).
func (w *writer) rest(coeffs []coeff, ones int) {
	suffix := uint(0)
	if len(coeffs) > 10 && ones < 3 {
		suffix = 1
	}
	for i, c := range coeffs[ones:] {
		size := max(c.level, -c.level)
		code := uint32(2*size - 2)
		if c.level < 0 {
			code++
		}
		if i == 0 && ones < 3 {
			code -= 2 // it cannot be ±1, or it would be a trailing one
		}
		w.level(code, suffix)
		suffix = max(suffix, 1)
		if size > 3<<(suffix-1) && suffix < 6 {
			suffix++
		}
	}
}

// level writes one levelCode with the given suffixLength.
func (w *writer) level(code uint32, suffix uint) {
	escape := uint32(15) << suffix
	if suffix == 0 {
		escape = 30
	}
	switch {
	case code >= escape:
		w.u(1, 16)
		w.u(code-escape, 12)
	case suffix == 0 && code >= 14:
		w.u(1, 15)
		w.u(code-14, 4)
	default:
		w.u(1, uint(code>>suffix)+1)
		w.u(code&(1<<suffix-1), suffix)
	}
}
