package avc

// Prediction modes of chroma (H.264 table 8-5).
const (
	chromaDC = iota
	chromaHorizontal
	chromaVertical
)

// block2 is the four blocks of one chroma of a macroblock, row by row.
type block2 [4]int32

// chromaBorders is the reconstructed blocks of one chroma above and to the left of a macroblock.
type chromaBorders struct {
	above, left       [2]int32
	hasAbove, hasLeft bool
}

// chroma codes both chromas of the macroblock at x, y of target, as luma does.
func (e *Encoder) chroma(target *Picture, x, y int) (mode uint32, cb, cr block2) {
	stride := 2 * e.recon.MBs.X
	at := 2*y*stride + 2*x
	wantCb, wantCr := blocksOf(target.Cb, at, stride), blocksOf(target.Cr, at, stride)
	bordersCb := chromaBordersOf(e.recon.Cb, at, stride, x, y)
	bordersCr := chromaBordersOf(e.recon.Cr, at, stride, x, y)

	cost := int32(-1)
	for m, ok := range [...]bool{true, chromaHorizontal: x > 0, chromaVertical: y > 0} {
		if !ok {
			continue
		}
		predCb, predCr := bordersCb.predict(m), bordersCr.predict(m)
		if c := wantCb.distance(&predCb) + wantCr.distance(&predCr); cost < 0 || c < cost {
			mode, cost = uint32(m), c
		}
	}
	cb = code2(e.recon.Cb, at, stride, wantCb, bordersCb.predict(int(mode)))
	cr = code2(e.recon.Cr, at, stride, wantCr, bordersCr.predict(int(mode)))
	return mode, cb, cr
}

// code2 is the levels of one chroma. What decoders make of them goes into cells.
func code2(cells []byte, at, stride int, want, pred block2) (levels block2) {
	for i := range levels {
		levels[i] = want[i] - pred[i]
	}
	levels.hadamard()
	for i := range levels {
		levels[i] = divide(2*levels[i], step)
	}
	f := levels
	f.hadamard()
	for i := range f {
		// H.264 equations 8-328 to 8-330 with QP'c = 18, then the 4x4 transform of a lone DC.
		cells[at+i/2*stride+i%2] = clip(pred[i] + (40*f[i]+32)>>6)
	}
	return levels
}

func blocksOf(cells []byte, at, stride int) (b block2) {
	for i := range b {
		b[i] = int32(cells[at+i/2*stride+i%2])
	}
	return b
}

func chromaBordersOf(cells []byte, at, stride, x, y int) (b chromaBorders) {
	b.hasAbove, b.hasLeft = y > 0, x > 0
	for i := range 2 {
		if b.hasAbove {
			b.above[i] = int32(cells[at-stride+i])
		}
		if b.hasLeft {
			b.left[i] = int32(cells[at+i*stride-1])
		}
	}
	return b
}

// predict is the prediction of one mode (H.264 section 8.3.4).
func (b *chromaBorders) predict(mode int) (pred block2) {
	for i := range pred {
		switch mode {
		case chromaHorizontal:
			pred[i] = b.left[i/2]
		case chromaVertical:
			pred[i] = b.above[i%2]
		default:
			pred[i] = b.dc(i%2, i/2)
		}
	}
	return pred
}

// dc returns the mean of the borders next to the block at x, y. The blocks off the diagonal prefer the one border that
// they touch.
func (b *chromaBorders) dc(x, y int) int32 {
	above, left := b.above[x], b.left[y]
	switch {
	case b.hasAbove && b.hasLeft && x == y:
		return (above + left + 1) >> 1
	case b.hasAbove && (x > y || !b.hasLeft || x == y):
		return above
	case b.hasLeft:
		return left
	}
	return 128
}

// distance is the sum of absolute differences.
func (b *block2) distance(c *block2) (sum int32) {
	for i := range b {
		sum += max(b[i]-c[i], c[i]-b[i])
	}
	return sum
}

// hadamard is the 2x2 transform of the chroma DC coefficients (H.264 equation 8-328). It is its own inverse, times 4.
func (b *block2) hadamard() {
	b[0], b[1], b[2], b[3] = b[0]+b[1]+b[2]+b[3], b[0]-b[1]+b[2]-b[3], b[0]+b[1]-b[2]-b[3], b[0]-b[1]-b[2]+b[3]
}
