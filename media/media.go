// Package media is the currency between sources and peers: coded frames, the tracks they belong to, and the hub that
// fans one source out to many.
//
// The way of a picture is left to right:
//
//	Source --Tracks, Write--> Hub (supervises the source, keeps the GOP) --> Subscription --> peer.Broadcast
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

// Track describes one elementary stream of a source. A source has at most one video and one audio track; the frames of
// a track are told apart by their codec.
type Track struct {
	Codec    Codec
	Channels int // audio only; 0 means 1 for G.711 and 2 for Opus

	// SPS and PPS are the H.264 parameter sets (NAL units without start code) when they are known before the first key
	// frame.
	SPS, PPS []byte

	// Width and Height in pixels, 0 when not yet known.
	Width, Height int
}

// Frame is one coded access unit. It is immutable once written: everybody who gets it shares its bytes.
type Frame struct {
	Codec Codec

	// PTS is the presentation time since the source began to run. It never goes back within one track, and both tracks
	// of a source share its zero. Sources for this agent have no B-frames, so it is the decoding time too.
	PTS time.Duration

	// Captured is the wall clock when the frame came into being or into this process; latency is counted from it.
	Captured time.Time

	// Key marks a frame that can be decoded without any before it. A key frame of H.264 carries its SPS and PPS as its
	// first units. Audio frames are not key frames.
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

// Sink takes what a source produces. Its methods are called from one goroutine at a time and never block.
type Sink interface {
	// Tracks says what is about to come. It is called before the first Write, and again when a codec or a size has
	// changed.
	Tracks([]Track)
	// Write hands over one frame. The caller must not touch f or its bytes afterwards.
	Write(f *Frame)
}

// Noter is a Sink that keeps what viewers will miss, and why, for the operator to read. The source of a run says it
// again in each run.
type Noter interface{ Note(text string) }

// Note tells out what viewers will miss, if it wants to know. What wraps a Sink passes it on.
func Note(out Sink, text string) {
	if n, ok := out.(Noter); ok {
		n.Note(text)
	}
}

// Source produces frames.
type Source interface {
	// Run writes to out until ctx is done, and then returns nil or ctx.Err(), or until the source fails, and then
	// returns why: what, where, and a hint. It does not retry: who calls Run decides that. It may be called again after
	// it has returned, each time as a clean start with PTS from zero and a key frame as the first video frame. Frames
	// are delivered at their own pace (a file is played in real time). Nothing that Run started is left when it
	// returns.
	Run(ctx context.Context, out Sink) error
}

// KeyFramer is a Source that can make a key frame when it is asked to. One that finds out that it cannot after all has
// a method MakesKeyFrames() bool that says so.
type KeyFramer interface {
	// RequestKeyFrame asks for one soon. It never blocks.
	RequestKeyFrame()
}

// Wrapper is a Source around another.
type Wrapper interface{ Unwrap() Source }

// keyFramer finds the source that makes key frames, in whatever is wrapped around it; nil when there is none.
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
