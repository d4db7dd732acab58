package slate

import (
	"image"

	"github.com/kvsagent/kvsagent/media"
)

// Shapes are the sizes of the stills.
var Shapes = shapes

// StillFile returns the name of a still.
func StillFile(kind Kind, size image.Point, codec media.Codec) string {
	return stillFile(kind, size, codec)
}

// Drawing is the pictures of a still before they are encoded, as I420: with the pulse, and without.
func Drawing(kind Kind, size image.Point) (with, without []byte) {
	p := draw(kind, size, "")
	p.dot(true)
	with = p.I420()
	p.dot(false)
	return with, p.I420()
}
