package record

import "io"

// NewWriter is Create for something other than a file.
func NewWriter(out io.WriteCloser) *Writer { return newWriter("test", out) }
