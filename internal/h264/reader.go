package h264

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooBig says that an access unit exceeds MaxUnitSize or MaxUnitNALs.
var ErrTooBig = fmt.Errorf("access unit above %d bytes or %d NAL units", MaxUnitSize, MaxUnitNALs)

// Reader splits an Annex B byte stream (H.264, annex B) into access units. It holds one unit at a time. After an error
// it is finished.
type Reader struct {
	nals *NALReader
	next []byte // the NAL unit that begins the next access unit
}

// NewReader reads access units from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{nals: NewNALReader(r)}
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
			r.nals.err = ErrTooBig
			return nil, ErrTooBig
		}
	}
}

// begins reports whether a NAL unit after a picture begins the next access unit. Of the comparisons of slice headers in
// 7.4.1.2.4, first_mb_in_slice is enough without arbitrary slice order, which no encoder here uses.
func begins(nal []byte) bool {
	first, slice := FirstMB(nal)
	return slice && first == 0 || Leads(nal)
}

// nal returns the next NAL unit.
func (r *Reader) nal() ([]byte, error) {
	if nal := r.next; nal != nil {
		r.next = nil
		return nal, nil
	}
	return r.nals.Next()
}
