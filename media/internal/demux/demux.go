// Package demux demultiplexes a byte stream that a program or a network writes. It detects the format by the first
// bytes and returns access units and audio packets as they arrive.
//
//	Annex B of H.264 or H.265 | IVF (VP8, VP9, AV1) | Ogg (Opus) | MPEG-TS | fragmented MP4  -->  Unit, Unit, ...
//
// A reader holds one unit, fragment or page at a time. A stream that exceeds the limits below ends.
package demux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Limits on what a stream may make us store.
const (
	maxUnit = h264.MaxUnitSize // bytes in one access unit
	maxNALs = h264.MaxUnitNALs // NAL units in one access unit
)

// Unit is one access unit of video, in the form for es.Writer, or one packet of audio.
type Unit struct {
	Codec media.Codec
	PTS   time.Duration // by the stream's clock; es.Untimed when it has none
	Data  [][]byte
}

// Stream is a byte stream of one of the formats. After an error it is finished.
type Stream interface {
	// Tracks describes the content: at most one video and one audio track, which may be foreign (es.Foreign).
	Tracks() []media.Track
	// Left lists the content that cannot be used, for people.
	Left() []string
	// Rate is the frame rate that the stream states, 0 if none.
	Rate() float64
	// Next gives the next unit, or io.EOF at the end of the stream.
	Next() (Unit, error)
}

// ErrFormat says that a stream is in an unknown format.
var ErrFormat = errors.New("neither H.264 or H.265 (Annex B), IVF, Ogg, MPEG-TS nor fragmented MP4")

// Open detects the format and reads up to the description of the tracks.
func Open(r io.Reader) (Stream, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(4)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			return nil, ErrFormat
		}
		return nil, err
	}
	switch {
	case string(head) == "DKIF":
		return openIVF(br)
	case string(head) == "OggS":
		return openOgg(br)
	case head[0] == 0x47:
		return openTS(br)
	}
	head, err = br.Peek(8)
	if err != nil {
		return nil, ErrFormat
	}
	switch kind := string(head[4:]); {
	case kind == "ftyp" || kind == "styp" || kind == "moov":
		return openMP4(br)
	case head[4] == tsSync && !annexB(head): // with time stamps before the packets
		return openTS(br)
	case annexB(head):
		return openAnnexB(br)
	}
	return nil, fmt.Errorf("%w: it begins with %q", ErrFormat, head)
}

// OpenTS opens an MPEG transport stream, which may begin in the middle.
func OpenTS(r io.Reader) (Stream, error) { return openTS(r) }

// tracks holds the first video track of a stream and its best audio track.
type tracks struct {
	list []media.Track
	left []string
}

func (t *tracks) Tracks() []media.Track { return t.list }
func (t *tracks) Left() []string        { return t.left }
func (t *tracks) Rate() float64         { return 0 }

// add adds a track unless there is one of its kind that is as good, and reports whether it did.
func (t *tracks) add(track media.Track) bool {
	for i, have := range t.list {
		switch {
		case have.Codec.Video() != track.Codec.Video():
			continue
		case es.Foreign(have.Codec) && !es.Foreign(track.Codec):
			t.left = append(t.left, string(have.Codec))
			t.list[i] = track
			return true
		}
		t.left = append(t.left, string(track.Codec))
		return false
	}
	t.list = append(t.list, track)
	return true
}

// usable returns an error when there is nothing to play.
func (t *tracks) usable(format string) error {
	switch {
	case len(t.list) > 0:
		return nil
	case len(t.left) > 0:
		return fmt.Errorf("%s with %s only, which browsers cannot play", format, strings.Join(t.left, ", "))
	}
	return fmt.Errorf("%s without video or audio", format)
}
