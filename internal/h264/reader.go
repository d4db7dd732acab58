package h264

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// ErrNotAnnexB says that a byte stream does not begin with a start code.
var ErrNotAnnexB = errors.New("not an H.264 byte stream: no start code at its beginning")

// ErrTooBig says that an access unit exceeds MaxUnitSize or MaxUnitNALs.
var ErrTooBig = fmt.Errorf("access unit above %d bytes or %d NAL units", MaxUnitSize, MaxUnitNALs)

// Reader splits an Annex B byte stream (H.264, annex B) into access units. It holds one unit at a time. After an error
// it is finished.
type Reader struct {
	br      *bufio.Reader
	started bool
	next    []byte // the NAL unit that begins the next access unit
	err     error  // why there are no more
}

// NewReader reads access units from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the NAL units of the next access unit, without start codes, in memory of their own. At the end of the
// stream it returns io.EOF; it may also return ErrNotAnnexB, ErrTooBig or an error of the reader.
func (r *Reader) Next() ([][]byte, error) {
	var au [][]byte
	size, picture := 0, false
	for {
		nal, err := r.nal()
		if errors.Is(err, io.EOF) && len(au) > 0 {
			return au, nil
		}
		if err != nil {
			return nil, err
		}
		if picture && begins(nal) {
			r.next = nal
			return au, nil
		}
		size += len(nal)
		picture = picture || vcl(nal)
		au = append(au, nal)
		if size > MaxUnitSize || len(au) > MaxUnitNALs {
			r.err = ErrTooBig
			return nil, r.err
		}
	}
}

// begins reports whether a NAL unit after a picture begins the next access unit (H.264, 7.4.1.2.3). Of the comparisons
// of slice headers in 7.4.1.2.4, first_mb_in_slice is enough without arbitrary slice order, which no encoder here uses.
func begins(nal []byte) bool {
	switch t := Type(nal); t {
	case h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeSPS, h264.NALUTypePPS, h264.NALUTypeSEI:
		return true
	case h264.NALUTypeNonIDR, h264.NALUTypeIDR, h264.NALUTypeDataPartitionA:
		first, _, err := sliceHeader(nal)
		return err == nil && first == 0
	default:
		return t >= 14 && t <= 18
	}
}

// nal returns the next non-empty NAL unit.
func (r *Reader) nal() ([]byte, error) {
	if nal := r.next; nal != nil {
		r.next = nil
		return nal, nil
	}
	if !r.started {
		if err := r.start(); err != nil {
			r.err = err
		}
		r.started = true
	}
	for r.err == nil {
		nal := r.cut()
		if len(nal) > 0 {
			return nal, nil
		}
	}
	return nil, r.err
}

// start skips the zero bytes and the start code that a byte stream begins with.
func (r *Reader) start() error {
	for zeros := 0; zeros < 64<<10; zeros++ {
		b, err := r.br.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && zeros == 0:
			return io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case err == nil && b == 0:
			continue
		case err == nil && b == 1 && zeros >= 2:
			return nil
		}
		break
	}
	return ErrNotAnnexB
}

// cut reads up to the next start code and returns what precedes it, without trailing zero bytes (trailing_zero_8bits,
// annex B.1.1). It sets r.err at the end of the stream.
func (r *Reader) cut() []byte {
	var nal []byte
	zeros := 0
	for {
		b, err := r.br.ReadByte()
		if err != nil {
			r.err = err
			break
		}
		if b == 1 && zeros >= 2 {
			break
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		if nal = append(nal, b); len(nal) > MaxUnitSize {
			r.err = ErrTooBig
			return nil
		}
	}
	return nal[:len(nal)-zeros]
}
