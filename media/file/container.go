package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// container is a file of one of the formats, open at its beginning.
type container interface {
	// tracks describes what is in it.
	tracks() []media.Track
	// next returns the next sample in decoding order, or io.EOF.
	next() (sample, error)
	// rewind goes back to the beginning.
	rewind() error
}

// sample is one access unit or audio packet.
type sample struct {
	codec    media.Codec
	pts      time.Duration // since the beginning of the file; may be below zero for audio
	duration time.Duration
	data     [][]byte
}

// errFormat says that a file is in a format that this source does not play.
var errFormat = errors.New("neither MP4, an H.264 byte stream nor Ogg with Opus; hint: ffmpeg -i FILE -c:v libx264 " +
	"-profile:v baseline -c:a libopus OUT.mp4")

// errBFrames says that the pictures of a file are not in display order.
var errBFrames = errors.New("the video has B-frames, which WebRTC cannot carry; hint: ffmpeg -i FILE -c:v libx264 " +
	"-profile:v baseline -bf 0 -c:a libopus OUT.mp4")

// open detects the format by content, since file names end in .bin or in nothing, too.
func (s *Source) open(f *os.File) (container, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file; hint: a pipe or a device is another kind of source")
	}
	head := make([]byte, 12)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the file is empty")
	}
	switch head = head[:n]; {
	case isMP4(head):
		return openMP4(f, info.Size(), s.foreign)
	case isAnnexB(head):
		return openAnnexB(f, s.rate)
	case string(head[:min(4, len(head))]) == "OggS":
		return openOgg(f)
	}
	if len(head) > 3 && (string(head[:3]) == "ID3" || head[0] == 0xff && head[1]&0xe6 == 0xe2) {
		return nil, errors.New("an MP3, which browsers do not take from WebRTC; hint: ffmpeg -i FILE -c:a libopus " +
			"OUT.ogg")
	}
	return nil, errFormat
}

// isMP4 looks for the type of the first box (ISO/IEC 14496-12, section 4.3; old QuickTime files have no ftyp).
func isMP4(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	switch string(head[4:8]) {
	case "ftyp", "styp", "moov", "mdat", "free", "skip", "wide", "sidx":
		return true
	}
	return false
}

// isAnnexB looks for the first start code, which zero bytes may precede (H.264, annex B.1.1).
func isAnnexB(head []byte) bool {
	for i, b := range head {
		if b != 0 {
			return b == 1 && i >= 2
		}
	}
	return false
}

// noSound returns the hint for audio that browsers cannot play over RTP.
func noSound(kind string) string {
	return fmt.Sprintf("%s; hint: ffmpeg -i FILE -c:v copy -c:a libopus OUT.mp4, or set audio: transcode", kind)
}
