package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/pipe"
)

const (
	decodeWithin = 8 * time.Second
	jpegMost     = 16 << 20
	pixelsMost   = "40000000" // more than 8K: what a stream says of itself must not fill the memory
)

// ErrNoDecoder is why there is no JPEG on a host without ffmpeg.
var ErrNoDecoder = errors.New("ffmpeg, which makes JPEG of pictures, is not installed")

// Decoder limits how many pictures of all cameras are made at a time.
type Decoder struct {
	program string
	turns   chan struct{}
	log     *slog.Logger
}

// NewDecoder makes a decoder that runs at most so many processes at a time. program is ffmpeg, or another name or path
// of it.
func NewDecoder(program string, atATime int, log *slog.Logger) *Decoder {
	return &Decoder{program: program, turns: make(chan struct{}, atATime), log: log}
}

// Camera makes the pictures of one source, one at a time, and keeps the last.
type Camera struct {
	turn chan struct{} // 1 slot, which guards the fields below
	of   *media.Frame
	jpeg []byte
}

// NewCamera makes a camera that has no picture yet.
func NewCamera() *Camera { return &Camera{turn: make(chan struct{}, 1)} }

// JPEG makes a JPEG of a key frame, or gives the one that it has made of the same frame before. Others' pictures come
// first: it waits until ctx is done. The error is ErrNoDecoder when ffmpeg is not there.
func (c *Camera) JPEG(ctx context.Context, d *Decoder, f *media.Frame) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, decodeWithin)
	defer cancel()
	done, err := take(ctx, c.turn)
	if err != nil {
		return nil, err
	}
	defer done()
	if c.of == f {
		return c.jpeg, nil
	}
	done, err = take(ctx, d.turns)
	if err != nil {
		return nil, err
	}
	defer done()
	jpeg, err := d.decode(ctx, f)
	if err != nil {
		return nil, err
	}
	c.of, c.jpeg = f, jpeg
	return jpeg, nil
}

// errBusy is why a picture was not made in time, when it is others' fault.
var errBusy = errors.New("too many pictures are being made")

func take(ctx context.Context, turns chan struct{}) (done func(), err error) {
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// decode runs ffmpeg.
func (d *Decoder) decode(ctx context.Context, f *media.Frame) ([]byte, error) {
	format := map[Format]string{H264: "h264", H265: "hevc", IVF: "ivf"}[FormatOf(f.Codec)]
	args := []string{
		d.program, "-hide_banner", "-nostats", "-loglevel", "error", "-threads", "1", "-max_pixels", pixelsMost, "-f",
		format, "-i", "pipe:0",
		"-frames:v", "1", "-c:v", "mjpeg", "-q:v", "3", "-f", "image2pipe", "pipe:1",
	}
	out, err := pipe.Filter(ctx, args, Stream(f), jpegMost, d.log)
	switch {
	case errors.Is(err, pipe.ErrNotFound):
		return nil, ErrNoDecoder
	case err == nil && len(out) == 0:
		return nil, errors.New("ffmpeg found no picture in the key frame")
	}
	return out, err
}
