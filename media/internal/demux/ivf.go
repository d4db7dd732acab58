package demux

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// ivf is the container of VP8, VP9 and AV1 elementary streams: a header of 32 bytes, then frames with a header of 12
// bytes each.
type ivf struct {
	tracks
	r          io.Reader
	codec      media.Codec
	rate       uint64 // ticks in scale seconds
	scale      uint64
	frameBytes [12]byte
}

func openIVF(r io.Reader) (Stream, error) {
	var h [32]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, ended(err)
	}
	codec, ok := map[string]media.Codec{"VP80": media.VP8, "VP90": media.VP9, "AV01": media.AV1}[string(h[8:12])]
	if !ok {
		return nil, fmt.Errorf("IVF with %q; VP8, VP9 and AV1 are known", h[8:12])
	}
	v := &ivf{r: r, codec: codec, tracks: video(codec)}
	v.rate, v.scale = uint64(binary.LittleEndian.Uint32(h[16:])), uint64(binary.LittleEndian.Uint32(h[20:]))
	if v.rate == 0 || v.scale == 0 || v.rate/v.scale > 1e9 {
		return nil, fmt.Errorf("IVF with a time base of %d/%d", v.scale, v.rate)
	}
	if more := int64(binary.LittleEndian.Uint16(h[6:])) - 32; more > 0 {
		if _, err := io.CopyN(io.Discard, r, more); err != nil {
			return nil, ended(err)
		}
	}
	return v, nil
}

func (v *ivf) Next() (Unit, error) {
	if _, err := io.ReadFull(v.r, v.frameBytes[:]); err != nil {
		return Unit{}, ended(err)
	}
	size, ticks := binary.LittleEndian.Uint32(v.frameBytes[:]), binary.LittleEndian.Uint64(v.frameBytes[4:])
	if size == 0 || size > maxUnit {
		return Unit{}, fmt.Errorf("IVF frame of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(v.r, b); err != nil {
		return Unit{}, ended(err)
	}
	return Unit{Codec: v.codec, PTS: scaled(ticks, v.rate, v.scale), Data: [][]byte{b}}, nil
}

// scaled converts ticks of scale/rate seconds to a duration, up to its maximum.
func scaled(ticks, rate, scale uint64) time.Duration {
	seconds := float64(ticks) * float64(scale) / float64(rate)
	return time.Duration(min(seconds, 1e9) * float64(time.Second))
}

// ended maps the errors of a truncated stream to one.
func ended(err error) error {
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}
