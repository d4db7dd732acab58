package avc

import "image"

// Picture is a 4:2:0 picture, flat on blocks: one luma value for each 4x4 pixels, one value of each chroma for each
// 8x8. It covers whole macroblocks of 16x16; what lies outside Size is cropped.
type Picture struct {
	Size   image.Point // in pixels, even
	MBs    image.Point // in macroblocks
	Y      []byte      // 4*MBs.X to a row
	Cb, Cr []byte      // 2*MBs.X to a row
}

// NewPicture makes a picture of the given size.
func NewPicture(size image.Point) *Picture {
	mbs := image.Pt((size.X+15)/16, (size.Y+15)/16)
	n := mbs.X * mbs.Y
	return &Picture{Size: size, MBs: mbs, Y: make([]byte, 16*n), Cb: make([]byte, 4*n), Cr: make([]byte, 4*n)}
}

// Copy makes p look like q, which has the same size.
func (p *Picture) Copy(q *Picture) {
	copy(p.Y, q.Y)
	copy(p.Cb, q.Cb)
	copy(p.Cr, q.Cr)
}

// I420 returns the visible pixels as three planes, one after the other, as decoders put them out.
func (p *Picture) I420() []byte {
	w, h := p.Size.X, p.Size.Y
	out := make([]byte, 0, w*h*3/2)
	out = appendPlane(out, p.Y, 4*p.MBs.X, w, h)
	out = appendPlane(out, p.Cb, 2*p.MBs.X, w/2, h/2)
	return appendPlane(out, p.Cr, 2*p.MBs.X, w/2, h/2)
}

func appendPlane(out, cells []byte, stride, w, h int) []byte {
	for y := range h {
		if y%4 > 0 {
			out = append(out, out[len(out)-w:]...) // like the row above it
			continue
		}
		row := cells[y/4*stride:]
		for x := range w {
			out = append(out, row[x/4])
		}
	}
	return out
}

// same reports whether p and q agree in the macroblock at x, y.
func (p *Picture) same(q *Picture, x, y int) bool {
	for row := range 4 {
		at := (4*y+row)*4*p.MBs.X + 4*x
		if [4]byte(p.Y[at:]) != [4]byte(q.Y[at:]) {
			return false
		}
	}
	for row := range 2 {
		at := (2*y+row)*2*p.MBs.X + 2*x
		if [2]byte(p.Cb[at:]) != [2]byte(q.Cb[at:]) || [2]byte(p.Cr[at:]) != [2]byte(q.Cr[at:]) {
			return false
		}
	}
	return true
}
