package load

import (
	"bytes"
	"hash/maphash"
)

const nalSlice = 1 // of a picture that is no key frame

// Book knows every picture of the clips that a server plays, so that a viewer can say which one has come.
type Book struct{ pages map[uint64]page }

// page is one picture.
type page struct {
	level, index int // which clip, and which of its pictures
	key          bool
}

// NewBook reads clips, as H.264 byte streams (ITU-T H.264 annex B) of one slice a picture.
func NewBook(clips ...[]byte) *Book {
	b := &Book{pages: map[uint64]page{}}
	for level, clip := range clips {
		index := 0
		for _, nal := range units(clip) {
			if kind := nal[0] & 0x1f; kind == nalSlice || kind == nalIDR {
				b.pages[maphash.Bytes(seed, nal)] = page{level, index, kind == nalIDR}
				index++
			}
		}
	}
	return b
}

// Pictures is how many there are.
func (b *Book) Pictures() int { return len(b.pages) }

// units cuts a byte stream at its start codes.
func units(stream []byte) (nals [][]byte) {
	for part := range bytes.SplitSeq(stream, []byte{0, 0, 1}) {
		if nal := bytes.TrimRight(part, "\x00"); len(nal) > 0 { // the zero before the next start code
			nals = append(nals, nal)
		}
	}
	return nals
}
