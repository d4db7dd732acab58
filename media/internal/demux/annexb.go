package demux

import (
	"bufio"
	"fmt"
	"io"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// annexB reports whether b begins with a start code, which zero bytes may precede (H.264, annex B.1.1).
func annexB(b []byte) bool {
	for i, c := range b {
		if c != 0 {
			return c == 1 && i >= 2
		}
	}
	return false
}

// openAnnexB tells H.265 from H.264 by the first NAL unit. It is a delimiter, a parameter set or SEI, or, when the
// stream was joined in the middle, a slice. An H.264 stream never begins with the headers that those have in H.265
// (table 7-1; two bytes, the second of them 1 to 7).
func openAnnexB(br *bufio.Reader) (Stream, error) {
	head, err := br.Peek(16)
	if err != nil && len(head) < 6 {
		return nil, ErrFormat
	}
	at := 0
	for at < len(head)-3 && head[at] == 0 {
		at++
	}
	nal := head[at+1:]
	if hevc(nal[0], nal[1]) {
		return &bytestream{tracks: video(media.H265), codec: media.H265, next: newHEVCReader(br).Next}, nil
	}
	b := &bytestream{tracks: video(media.H264), codec: media.H264}
	reader := h264.NewReader(br)
	b.next = func() ([][]byte, error) {
		au, err := reader.Next()
		for _, nal := range au {
			if b.rate == 0 && h264.Type(nal) == 7 {
				b.rate = h264.FrameRate(nal)
			}
		}
		return au, err
	}
	return b, nil
}

// hevc reports whether the first two bytes of a NAL unit are a header of H.265. Its slices of pictures that others
// depend on (type 1) would be data partitions of H.264, which are not in use. Type 3, of which there are few, would be
// SEI, so it is not taken for H.265.
func hevc(a, b byte) bool {
	kind, layer := a>>1, b-1
	if a&0x81 != 0 || layer > 6 {
		return false
	}
	return layer == 0 && (kind >= 16 && kind <= 21 || kind >= 32 && kind <= 40) || kind <= 2
}

func video(c media.Codec) tracks { return tracks{list: []media.Track{{Codec: c}}} }

// bytestream is Annex B, which has no timestamps.
type bytestream struct {
	tracks
	codec media.Codec
	rate  float64
	next  func() ([][]byte, error)
}

func (b *bytestream) Rate() float64 { return b.rate }

func (b *bytestream) Next() (Unit, error) {
	au, err := b.next()
	return Unit{Codec: b.codec, PTS: es.Untimed, Data: au}, err
}

// hevcReader cuts an H.265 byte stream into access units.
type hevcReader struct {
	nals *h264.NALReader
	next []byte // the NAL unit that begins the next access unit
}

func newHEVCReader(br *bufio.Reader) *hevcReader { return &hevcReader{nals: h264.NewNALReader(br)} }

// Next returns the NAL units of the next access unit.
func (r *hevcReader) Next() ([][]byte, error) {
	var au [][]byte
	size, picture := 0, false
	for {
		nal, err := r.nal()
		if err == io.EOF && picture {
			return au, nil
		}
		if err != nil {
			return nil, err
		}
		part := es.PartOf(media.H265, nal)
		if picture && (part.Slice && part.First == 0 || part.Leads) {
			r.next = nal
			return au, nil
		}
		picture = picture || part.Slice
		au, size = append(au, nal), size+len(nal)
		if size > maxUnit || len(au) > maxNALs {
			return nil, fmt.Errorf("access unit above %d bytes or %d NAL units", maxUnit, maxNALs)
		}
	}
}

// nal returns the next non-empty NAL unit.
func (r *hevcReader) nal() ([]byte, error) {
	if nal := r.next; nal != nil {
		r.next = nil
		return nal, nil
	}
	for {
		nal, err := r.nals.Next()
		if err != nil || len(nal) >= 2 {
			return nal, err
		}
	}
}
