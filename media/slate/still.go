package slate

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
)

//go:generate go test . -run TestStills -update

// stills holds a file for each kind, shape and codec, of two pictures: a key frame, and one that follows upon it,
// without the pulse. They are shown in turn. They hold no time, since that is not known before.
//
//go:embed stills
var stills embed.FS

// shapes are the sizes of the stills. Players scale them to the place that the camera's picture has.
var shapes = []image.Point{{1280, 720}, {960, 720}, {720, 1280}}

// shapeOf returns the shape that is most like a picture.
func shapeOf(size image.Point) image.Point {
	slant := func(p image.Point) float64 {
		return math.Abs(math.Log(float64(p.X) * float64(size.Y) / float64(p.Y) / float64(size.X)))
	}
	return slices.MinFunc(shapes, func(a, b image.Point) int { return cmp.Compare(slant(a), slant(b)) })
}

// still is a slate that was encoded beforehand.
type still struct {
	codec    media.Codec
	size     image.Point
	pictures [rate][][]byte
}

func newStill(o Options) (*still, error) {
	s := &still{codec: o.Codec, size: shapeOf(o.Size)}
	name := stillFile(o.Kind, s.size, o.Codec)
	file, err := stills.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("none in %s: %w", o.Codec, err)
	}
	stream, err := demux.Open(bytes.NewReader(file))
	for i := 0; i < rate && err == nil; i++ {
		var u demux.Unit
		u, err = stream.Next()
		s.pictures[i] = u.Data
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// stillFile returns the name of a still: Annex B for H.265, and IVF for the others.
func stillFile(kind Kind, size image.Point, codec media.Codec) string {
	first, _, _ := strings.Cut(string(kind), "\n")
	return fmt.Sprintf("stills/%s-%dx%d.%s", first, size.X, size.Y, strings.ToLower(string(codec)))
}

func (s *still) track() media.Track {
	return media.Track{Codec: s.codec, Width: s.size.X, Height: s.size.Y}
}

func (s *still) next(key bool) [][]byte {
	if key {
		return s.pictures[0]
	}
	return s.pictures[1]
}
