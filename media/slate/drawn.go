package slate

import (
	"image"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/avc"
)

// drawn is a slate in H.264: a picture of the size that is wanted, with the time.
type drawn struct {
	size    image.Point
	picture *picture
	encoder *avc.Encoder
}

func newDrawn(o Options, since time.Time) (*drawn, error) {
	size := image.Pt(min(max(o.Size.X, 320), 1920)&^1, min(max(o.Size.Y, 180), 1080)&^1)
	encoder, err := avc.NewEncoder(size, rate)
	if err != nil {
		return nil, err
	}
	return &drawn{size: size, picture: draw(o.Kind, size, since.Format("since 15:04")), encoder: encoder}, nil
}

func (d *drawn) track() media.Track {
	return media.Track{Codec: media.H264, SPS: d.encoder.SPS(), PPS: d.encoder.PPS(), Width: d.size.X, Height: d.size.Y}
}

func (d *drawn) next(key bool) [][]byte {
	d.picture.dot(key)
	slice := d.encoder.Encode(d.picture.Picture, key)
	if key {
		return [][]byte{d.encoder.SPS(), d.encoder.PPS(), slice}
	}
	return [][]byte{slice}
}
