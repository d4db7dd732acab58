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

// openAnnexB tells H.265 from H.264 by the first NAL unit, which is a delimiter, a parameter set or SEI. An H.264
// stream never begins with the headers that those have in H.265 (table 7-1; two bytes, the second of them 1).
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
	if kind := nal[0] >> 1; nal[0]&0x81 == 0 && nal[1] == 1 && kind >= 32 && kind <= 40 {
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
