// Package snapshot makes still pictures: the key frame that a hub has, as it is or as JPEG.
//
//	media.Hub --cached key frame--> Of --Frame--> Stream --> Annex B, IVF
//	                                         `--> Camera.JPEG --Annex B, IVF--> ffmpeg --> JPEG
package snapshot

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/kvsagent/kvsagent/media"
)

// Format is how a picture is written. It is also the ending of its file's name.
type Format string

// The formats of pictures.
const (
	JPEG Format = "jpg"
	H264 Format = "h264" // Annex B
	H265 Format = "h265" // Annex B
	IVF  Format = "ivf"  // VP8, VP9 and AV1
)

// FormatOf returns the format in which a codec's pictures are written as they are.
func FormatOf(c media.Codec) Format {
	switch c {
	case media.H264:
		return H264
	case media.H265:
		return H265
	}
	return IVF
}

// ErrNoVideo is why there is no picture of a source that gives sound alone.
var ErrNoVideo = errors.New("there is no video in this source")

// Of gives the newest key frame of a hub: at once the one that it keeps, else the next. A source that was idle is
// started, and lingers afterwards as it does after a viewer. The error is ErrNoVideo, or that of ctx.
func Of(ctx context.Context, hub *media.Hub) (*media.Frame, error) {
	f := newFirst()
	leave := hub.Subscribe(f)
	defer leave()
	select {
	case frame := <-f.frames:
		return frame, nil
	default:
	}
	hub.RequestKeyFrame()
	return f.wait(ctx)
}

// From gives the first key frame of a source, which is run for that.
func From(ctx context.Context, src media.Source) (*media.Frame, error) {
	ctx, cancel := context.WithCancel(ctx)
	f, ended := newFirst(), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- src.Run(ctx, f) })
	defer wg.Wait()
	defer cancel()
	select {
	case frame := <-f.frames:
		return frame, nil
	case err := <-ended:
		return nil, fmt.Errorf("no picture from this source: %w", cmp.Or(err, io.EOF))
	}
}

// first is a sink that keeps the first key frame.
type first struct {
	frames chan *media.Frame // 1 slot
	none   chan struct{}     // 1 slot: there is no video
}

func newFirst() *first { return &first{make(chan *media.Frame, 1), make(chan struct{}, 1)} }

func (f *first) wait(ctx context.Context) (*media.Frame, error) {
	select {
	case frame := <-f.frames:
		return frame, nil
	case <-f.none:
		return nil, ErrNoVideo
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Tracks implements media.Sink.
func (f *first) Tracks(tracks []media.Track) {
	if slices.ContainsFunc(tracks, func(t media.Track) bool { return t.Codec.Video() }) {
		return
	}
	select {
	case f.none <- struct{}{}:
	default:
	}
}

// Write implements media.Sink.
func (f *first) Write(frame *media.Frame) {
	if !frame.Key || !frame.Codec.Video() {
		return
	}
	select {
	case f.frames <- frame:
	default:
	}
}

// Stream writes a key frame as a file that players take: with its parameter sets, of which it carries those of its
// codec.
func Stream(f *media.Frame) []byte {
	if FormatOf(f.Codec) == IVF {
		return ivf(f)
	}
	out := make([]byte, 0, f.Size()+4*len(f.Data))
	for _, nal := range f.Data {
		out = append(append(out, 0, 0, 0, 1), nal...) // ITU-T H.264, annex B
	}
	return out
}

// ivf returns a file with one frame. Its header says no size: decoders find that in the frame.
func ivf(f *media.Frame) []byte {
	le, size := binary.LittleEndian, f.Size()
	out := append(make([]byte, 0, 44+size), "DKIF"...)
	out = le.AppendUint16(out, 0)  // version
	out = le.AppendUint16(out, 32) // length of this header
	out = append(out, map[media.Codec]string{media.VP8: "VP80", media.VP9: "VP90", media.AV1: "AV01"}[f.Codec]...)
	out = le.AppendUint32(out, 0)    // width and height
	out = le.AppendUint32(out, 1000) // ticks
	out = le.AppendUint32(out, 1)    // in so many seconds
	out = le.AppendUint32(out, 1)    // frames
	out = le.AppendUint32(out, 0)
	out = le.AppendUint32(out, uint32(size))
	out = le.AppendUint64(out, 0) // time
	for _, data := range f.Data {
		out = append(out, data...)
	}
	return out
}
