// Package media defines what sources and peers exchange: coded frames, the tracks that they belong to, and the hub that
// fans one source out to many.
//
// A picture travels from left to right:
//
//	Source --Tracks, Write--> Hub (supervises the source, keeps the GOP) --Subscribe--> peer.Broadcast
//
// A Frame is one coded access unit, not an RTP packet: drop rules, recording, late joiners and snapshots need key-frame
// borders.
package media

import (
	"context"
	"time"
)

// Codec names a coding format by its RTP encoding name (the IANA "RTP payload format media types" registry).
type Codec string

// The codecs that sources produce.
const (
	H264 Codec = "H264"
	H265 Codec = "H265"
	VP8  Codec = "VP8"
	VP9  Codec = "VP9"
	AV1  Codec = "AV1"
	Opus Codec = "opus"
	PCMU Codec = "PCMU"
	PCMA Codec = "PCMA"
)

// Video reports whether the codec codes pictures.
func (c Codec) Video() bool {
	switch c {
	case H264, H265, VP8, VP9, AV1:
		return true
	}
	return false
}

// ClockRate returns the RTP clock in Hz: 90000 for video, 48000 for Opus (RFC 7587 section 4.1), 8000 for G.711 (RFC
// 3551).
func (c Codec) ClockRate() uint32 {
	switch c {
	case Opus:
		return 48000
	case PCMU, PCMA:
		return 8000
	}
	return 90000
}

// Track describes one elementary stream of a source. A source has at most one video and one audio track; the codec of a
// frame tells its track.
type Track struct {
	Codec    Codec
	Channels int // audio only; 0 means 1 for G.711 and 2 for Opus

	// SPS and PPS are the H.264 parameter sets (NAL units without start code) when they are known before the first key
	// frame.
	SPS, PPS []byte

	// Width and Height in pixels, 0 when not yet known.
	Width, Height int
}

// Frame is one coded access unit. It is immutable once written: all receivers share its bytes.
type Frame struct {
	Codec Codec

	// PTS is the presentation time since the source began to run. It never goes back within one track, and both tracks
	// of a source share its zero. Sources for this agent have no B-frames, so it is the decoding time, too.
	PTS time.Duration

	// Captured is the wall-clock time when the frame was made or entered this process. Latency counts from it.
	Captured time.Time

	// Key marks a frame that can be decoded without any earlier one. A key frame of H.264 begins with its SPS and PPS.
	// Audio frames are not key frames.
	Key bool

	// Data holds the NAL units without start codes for H.264 and H.265, one element for everything else.
	Data [][]byte
}

// Size returns the number of payload bytes.
func (f *Frame) Size() int {
	n := 0
	for _, d := range f.Data {
		n += len(d)
	}
	return n
}

// Sink receives what a source produces. Its methods are called from one goroutine at a time and never block.
type Sink interface {
	// Tracks announces the tracks. It is called before the first Write, and again when a codec or a size has changed.
	Tracks([]Track)
	// Write passes one frame. The caller must not touch f or its bytes afterwards.
	Write(f *Frame)
}

// Noter is a Sink that records what viewers will miss, and why, for the operator. A source repeats its notes in each
// run.
type Noter interface{ Note(text string) }

// Note tells out what viewers will miss, if out is a Noter. A Sink that wraps another passes it on.
func Note(out Sink, text string) {
	if n, ok := out.(Noter); ok {
		n.Note(text)
	}
}

// Source produces frames.
type Source interface {
	// Run writes to out until ctx is done, and then returns nil or ctx.Err(). When the source fails, Run returns the
	// error: what, where, and a hint. It does not retry; that is up to the caller. Run may be called again after it has
	// returned. Each run starts clean, with PTS from zero and a key frame as the first video frame. Frames are
	// delivered at their own pace (a file is played in real time). Nothing that Run started is left when it returns.
	Run(ctx context.Context, out Sink) error
}

// KeyFramer is a Source that makes key frames on request. One that finds out that it cannot has a method
// MakesKeyFrames() bool that then reports false.
type KeyFramer interface {
	// RequestKeyFrame asks for one soon. It never blocks.
	RequestKeyFrame()
}

// Wrapper is a Source that wraps another.
type Wrapper interface{ Unwrap() Source }

// keyFramer finds the KeyFramer among a source and what it wraps; nil if there is none.
func keyFramer(s Source) KeyFramer {
	for s != nil {
		if k, ok := s.(KeyFramer); ok {
			if able, asks := s.(interface{ MakesKeyFrames() bool }); asks && !able.MakesKeyFrames() {
				return nil
			}
			return k
		}
		w, ok := s.(Wrapper)
		if !ok {
			return nil
		}
		s = w.Unwrap()
	}
	return nil
}
