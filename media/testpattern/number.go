package testpattern

import "image"

// The machine-readable frame number: see FrameNumber.
const (
	numberBits   = 20
	numberCell   = 16 // pixels
	numberMargin = 64 // the least difference between black and white
)

// FrameNumber reads the frame number, modulo 2^20, from the luma of a decoded picture, row by row, stride samples to a
// row. It reports false when the picture is too small or a bit is not clear.
//
// The number stands in the upper left corner, 320x32 pixels at every picture size: two rows of 20 cells, each 16x16
// pixels, black or white. The upper row is the number in binary, the highest bit on the left, white for 1. The lower
// row is its complement and so checks every bit: a column whose two cells are alike was damaged, or blended with
// another picture. A web page reads it so:
//
//	function frameNumber(context) { // a 2D context that the video was drawn to at its own size
//	  const {data} = context.getImageData(0, 0, 320, 32)
//	  const green = (x, y) => data[4 * (320 * y + x) + 1]
//	  let n = 0
//	  for (let x = 8; x < 320; x += 16) {
//	    const difference = green(x, 8) - green(x, 24)
//	    if (Math.abs(difference) < 64) return -1
//	    n = 2 * n + (difference > 0 ? 1 : 0)
//	  }
//	  return n
//	}
func FrameNumber(luma []byte, stride int) (n int, ok bool) {
	if stride < numberBits*numberCell || len(luma) < 2*numberCell*stride {
		return 0, false
	}
	for x := numberCell / 2; x < numberBits*numberCell; x += numberCell {
		upper := int(luma[numberCell/2*stride+x])
		lower := int(luma[numberCell*3/2*stride+x])
		switch {
		case upper-lower >= numberMargin:
			n = 2*n + 1
		case lower-upper >= numberMargin:
			n = 2 * n
		default:
			return 0, false
		}
	}
	return n, true
}

// number draws n where FrameNumber reads it.
func (c canvas) number(n int64) {
	const side = numberCell / cell
	for i := range numberBits {
		upper, lower := byte(black), byte(white)
		if n>>(numberBits-1-i)&1 == 1 {
			upper, lower = lower, upper
		}
		at := image.Rect(0, 0, side, side).Add(image.Pt(i*side, 0))
		c.light(at, upper)
		c.light(at.Add(image.Pt(0, side)), lower)
	}
}
