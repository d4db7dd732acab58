package rtsp

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kvsagent/kvsagent/media"
)

// suspicion is what may be behind a stream that gives no picture, other than seldom key frames.
type suspicion struct {
	mu     sync.Mutex // guards the fields below
	stray  string     // a payload type that the description does not name
	strays int        // packets of it
	h265   int        // packets of video that look like H.265
}

// enoughPackets make a suspicion.
const enoughPackets = 8

// fault takes an error of the library about one packet.
func (s *suspicion) fault(err error) {
	_, pt, ok := strings.Cut(err.Error(), "unknown payload type: ")
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stray = printable(pt)
	s.strays++
}

// packet looks at a packet that should be H.264. Parameter sets and fragments of H.265 have types there that H.264 does
// not know, and a second byte of 1 (RFC 7798 section 1.1.4).
func (s *suspicion) packet(payload []byte) {
	if len(payload) < 2 || payload[1] != 1 {
		return
	}
	switch payload[0] >> 1 & 0x3f {
	case 32, 33, 34, 48, 49: // VPS, SPS, PPS, aggregation, fragment
		s.mu.Lock()
		defer s.mu.Unlock()
		s.h265++
	}
}

// cause is why there is no picture of a codec, and its cure; nil when nothing is suspected.
func (s *suspicion) cause(codec media.Codec) (hint string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case codec == media.H264 && s.h265 >= enoughPackets:
		return "set the video codec of this stream to H.264 in the camera, and restart it",
			errors.New("the camera's description says H.264, and its packets are H.265")
	case s.strays >= enoughPackets:
		return "restart the camera or update its firmware, or use its other stream",
			fmt.Errorf("the camera's packets have payload type %s, which its description does not name", s.stray)
	}
	return "", nil
}
