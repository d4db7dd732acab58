package avc

// Prediction modes of Intra_16x16 luma (H.264 table 8-4).
const (
	lumaVertical = iota
	lumaHorizontal
	lumaDC
)

// block4 is the 16 luma blocks of a macroblock, row by row.
type block4 [16]int32

// lumaBorders is the reconstructed blocks above and to the left of a macroblock.
type lumaBorders struct {
	above, left       [4]int32
	hasAbove, hasLeft bool
}

// luma codes the luma of the macroblock at x, y of target: the mode, the levels in zigzag order, and, into e.recon,
// what decoders will make of them.
//
// Everything is computed on blocks: what is flat on 4x4 blocks stays so through vertical, horizontal and DC prediction,
// and a DC level alone adds the same to each pixel of its block.
func (e *Encoder) luma(target *Picture, x, y int) (mode uint32, levels [16]int32) {
	stride := 4 * e.recon.MBs.X
	at := 4*y*stride + 4*x
	var want block4
	for i := range want {
		want[i] = int32(target.Y[at+i/4*stride+i%4])
	}
	borders := lumaBordersOf(e.recon.Y, at, stride, x, y)
	mode, pred := borders.best(&want)

	var diff block4
	for i := range diff {
		diff[i] = want[i] - pred[i]
	}
	diff.hadamard()
	for i := range diff {
		diff[i] = divide(diff[i], step)
	}
	for i, from := range zigzag {
		levels[i] = diff[from]
	}
	diff.hadamard()
	for i, f := range diff {
		// H.264 equations 8-321 to 8-323 with qP = 18, then the 4x4 transform of a lone DC.
		e.recon.Y[at+i/4*stride+i%4] = clip(pred[i] + (20*f+32)>>6)
	}
	return mode, levels
}

func lumaBordersOf(cells []byte, at, stride, x, y int) (b lumaBorders) {
	b.hasAbove, b.hasLeft = y > 0, x > 0
	for i := range 4 {
		if b.hasAbove {
			b.above[i] = int32(cells[at-stride+i])
		}
		if b.hasLeft {
			b.left[i] = int32(cells[at+i*stride-1])
		}
	}
	return b
}

// best is the mode whose prediction is the nearest to want.
func (b *lumaBorders) best(want *block4) (mode uint32, pred block4) {
	mode, pred = lumaDC, b.predict(lumaDC)
	cost := want.distance(&pred)
	for m, ok := range [...]bool{lumaVertical: b.hasAbove, lumaHorizontal: b.hasLeft} {
		if !ok || cost == 0 {
			continue
		}
		p := b.predict(uint32(m))
		if c := want.distance(&p); c < cost {
			mode, pred, cost = uint32(m), p, c
		}
	}
	return mode, pred
}

// predict is the prediction of one mode (H.264 section 8.3.3).
func (b *lumaBorders) predict(mode uint32) (pred block4) {
	dc := b.dc()
	for i := range pred {
		switch mode {
		case lumaVertical:
			pred[i] = b.above[i%4]
		case lumaHorizontal:
			pred[i] = b.left[i/4]
		default:
			pred[i] = dc
		}
	}
	return pred
}

// dc returns the mean of the borders that are there; each of their blocks stands for four pixels.
func (b *lumaBorders) dc() int32 {
	sum := int32(0)
	for i := range 4 {
		sum += b.above[i] + b.left[i]
	}
	switch {
	case b.hasAbove && b.hasLeft:
		return (sum + 4) >> 3
	case b.hasAbove || b.hasLeft:
		return (sum + 2) >> 2
	}
	return 128
}

// distance is the sum of absolute differences.
func (b *block4) distance(c *block4) (sum int32) {
	for i := range b {
		sum += max(b[i]-c[i], c[i]-b[i])
	}
	return sum
}

// hadamard is the 4x4 transform of the luma DC coefficients (H.264 equation 8-320). It is its own inverse, times 16.
func (b *block4) hadamard() {
	for i := 0; i < 16; i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = hadamard4(b[i], b[i+1], b[i+2], b[i+3])
	}
	for i := range 4 {
		b[i], b[i+4], b[i+8], b[i+12] = hadamard4(b[i], b[i+4], b[i+8], b[i+12])
	}
}

func hadamard4(a, b, c, d int32) (int32, int32, int32, int32) {
	s, t, u, v := a+b, a-b, c+d, c-d
	return s + u, s - u, t - v, t + v
}
