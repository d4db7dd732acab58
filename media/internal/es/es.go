// Package es turns elementary streams of any codec into media frames. It finds key frames, puts parameter sets first,
// keeps times starting from zero and monotonic, and announces the tracks when they are known.
//
//	access units, audio packets --Write--> coder of the codec (key? size? changed?) --> clock --> media.Sink
//
// The sources that read containers and packets share it. Its callers limit its input.
package es

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// keyWithin is how long video may arrive at the start without a key frame.
const keyWithin = 15 * time.Second

// Why a stream cannot go on.
var (
	// ErrBFrames says that pictures are not in display order.
	ErrBFrames = errors.New("the video has B-frames, which WebRTC cannot carry")
	// ErrNoKey says that there is no key frame to begin with.
	ErrNoKey = fmt.Errorf("no key frame with parameter sets in %v of video", keyWithin)
)

// ProfileError says that the video is coded in a way that browsers do not decode.
type ProfileError struct{ error }

// Codecs of audio that browsers cannot play, so that it must be transcoded first. A frame holds bytes that ffmpeg can
// read when it is told the format.
const (
	ADTS media.Codec = "AAC"         // with an ADTS header for each frame (ISO/IEC 14496-3, 1.A.2)
	MPA  media.Codec = "MPEG audio"  // layers 1 to 3, with their headers
	AC3  media.Codec = "AC-3"        // with its headers
	L16  media.Codec = "linear PCM/" // followed by rate and channels, as L16/48000/2; samples of 16 bits, big endian
)

// PCM returns the codec of linear samples of 16 bits, big endian.
func PCM(rate, channels int) media.Codec {
	return media.Codec(fmt.Sprintf("%s%d/%d", L16, rate, channels))
}

// Foreign reports whether c is an audio codec that must be transcoded.
func Foreign(c media.Codec) bool {
	return c == ADTS || c == MPA || c == AC3 || strings.HasPrefix(string(c), string(L16))
}

// coder knows one video codec.
type coder interface {
	// next converts an access unit to the form of media.Frame. ok is false when it holds no picture.
	next(data [][]byte) (u unit, ok bool)
	// track describes the stream as far as known.
	track() media.Track
	// playable returns why browsers cannot decode the stream, as far as known.
	playable() error
	// reorders reports whether pictures of the stream may be out of display order.
	reorders(u unit) bool
}

// unit is an access unit in the form of media.Frame.
type unit struct {
	data    [][]byte
	key     bool
	changed bool // the size or the parameter sets differ from those of the previous unit
}

func newCoder(t media.Track) coder {
	switch t.Codec {
	case media.H264:
		return newAVC(t)
	case media.H265:
		return &hevc{}
	case media.VP8:
		return &vpx{codec: t.Codec, look: lookVP8}
	case media.VP9:
		return &vpx{codec: t.Codec, look: lookVP9}
	case media.AV1:
		return &vpx{codec: t.Codec, look: lookAV1}
	}
	return nil
}

// Writer makes the frames of one run of a source. It is used by one goroutine at a time.
type Writer struct {
	out    media.Sink
	tracks []media.Track
	video  coder // nil when there is no video
	clocks map[media.Codec]*Clock
	shift  *time.Duration // of the first frame: both tracks share its zero

	announced bool
	keyed     bool
	waiting   time.Time // since when there is video but no key frame
}

// NewWriter returns a writer for at most one video and one audio track.
func NewWriter(out media.Sink, tracks ...media.Track) *Writer {
	w := &Writer{out: out, tracks: tracks, clocks: map[media.Codec]*Clock{}}
	for _, t := range tracks {
		w.clocks[t.Codec] = &Clock{}
		if t.Codec.Video() {
			w.video = newCoder(t)
		}
	}
	return w
}

// Zero sets the stream time of PTS zero, when that is not the first unit's: a source with two writers has one zero for
// both.
func (w *Writer) Zero(at time.Duration) {
	shift := -at
	w.shift = &shift
}

// Measure corrects the clock of a track when it runs at the wrong rate. It returns nil when there is no such track.
func (w *Writer) Measure(codec media.Codec) *Rate {
	c := w.clocks[codec]
	if c == nil {
		return nil
	}
	if c.Rate == nil {
		c.Rate = &Rate{}
	}
	return c.Rate
}

// MeasureAll corrects the clocks of all tracks. found is told which runs so many times as fast as time.
func (w *Writer) MeasureAll(found func(codec media.Codec, times float64)) {
	for codec := range w.clocks {
		r := w.Measure(codec)
		r.Found = func(times float64) { found(codec, times) }
		for other := range w.clocks {
			if other != codec {
				r.Other = w.Measure(other)
			}
		}
	}
}

// Parameters passes parameter sets that came outside the stream.
func (w *Writer) Parameters(sets ...[]byte) {
	if p, ok := w.video.(interface{ set(...[]byte) }); ok {
		p.set(sets...)
	}
}

// Write writes one access unit or audio packet of one of the tracks' codecs. pts is its time on the stream's clock,
// Untimed for a stream without one; now is when it arrived. Its bytes belong to the writer from then on.
func (w *Writer) Write(codec media.Codec, pts time.Duration, now time.Time, data [][]byte) error {
	if codec.Video() {
		return w.writeVideo(codec, pts, now, data)
	}
	if len(data) == 0 || len(data[0]) == 0 || w.clocks[codec] == nil {
		return nil
	}
	w.announce()
	at, _ := w.time(codec, pts, now)
	w.out.Write(&media.Frame{Codec: codec, PTS: at, Captured: now, Data: data})
	return nil
}

// Untimed is the pts of units without a time: they are shown when they arrive.
const Untimed = time.Duration(-1 << 63)

func (w *Writer) writeVideo(codec media.Codec, pts time.Duration, now time.Time, data [][]byte) error {
	if w.video == nil || w.clocks[codec] == nil {
		return nil
	}
	u, ok := w.video.next(data)
	if !ok || !u.key && !w.keyed {
		return w.unusable(now)
	}
	at, back := w.time(codec, pts, now)
	if (back || pts == Untimed) && w.video.reorders(u) {
		return ErrBFrames
	}
	w.keyed = true
	if u.changed {
		if err := w.video.playable(); err != nil {
			return &ProfileError{err}
		}
		w.announced = false
	}
	w.announce()
	w.out.Write(&media.Frame{Codec: codec, PTS: at, Captured: now, Key: u.key, Data: u.data})
	return nil
}

// unusable measures how long video has arrived that cannot be shown.
func (w *Writer) unusable(now time.Time) error {
	if w.keyed {
		return nil
	}
	if w.waiting.IsZero() {
		w.waiting = now
	}
	if now.Sub(w.waiting) > keyWithin {
		return ErrNoKey
	}
	return nil
}

// announce tells the sink the tracks, unless it knows them.
func (w *Writer) announce() {
	if w.announced {
		return
	}
	w.announced = true
	tracks := make([]media.Track, len(w.tracks))
	for i, t := range w.tracks {
		if t.Codec.Video() {
			t = w.video.track()
		}
		tracks[i] = t
	}
	w.out.Tracks(tracks)
}

func (w *Writer) time(codec media.Codec, pts time.Duration, now time.Time) (at time.Duration, back bool) {
	c := w.clocks[codec]
	if pts == Untimed {
		pts = time.Duration(now.UnixNano())
	}
	if w.shift == nil {
		first := -pts
		w.shift = &first
	}
	if !c.started {
		c.shift = *w.shift
	}
	return c.At(pts, now)
}
