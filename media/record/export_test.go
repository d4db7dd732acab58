package record

import "io"

// NewWriter is Create for something that is no file.
func NewWriter(out io.WriteCloser) *Writer { return newWriter("test", out) }
