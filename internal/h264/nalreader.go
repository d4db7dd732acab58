package h264

import (
	"bufio"
	"errors"
	"io"
)

// ErrNotAnnexB says that a byte stream does not begin with a start code.
var ErrNotAnnexB = errors.New("not an H.264 byte stream: no start code at its beginning")

// NALReader cuts a byte stream into NAL units. H.264 and H.265 share the format (annex B of both). After an error it is
// finished.
type NALReader struct {
	br      *bufio.Reader
	started bool
	err     error // why there is no more
}

// NewNALReader reads NAL units from r.
func NewNALReader(r io.Reader) *NALReader {
	return &NALReader{br: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next NAL unit that is not empty, without its start code, in memory of its own. At the end of the
// stream it returns io.EOF; it may also return ErrNotAnnexB, ErrTooBig or an error of the reader.
func (r *NALReader) Next() ([]byte, error) {
	if !r.started {
		r.err = r.start()
		r.started = true
	}
	for r.err == nil {
		if nal := r.cut(); len(nal) > 0 {
			return nal, nil
		}
	}
	return nil, r.err
}

// start skips the zero bytes and the start code that a byte stream begins with.
func (r *NALReader) start() error {
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
func (r *NALReader) cut() []byte {
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
