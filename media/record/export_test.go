package record

import "io"

// NewWriter is Create for something that is no file.
func NewWriter(out io.WriteCloser) *Writer { return newWriter("test", out) }

// Queued is how many frames wait for the disk, the one that is being written included.
func (w *Writer) Queued() int64 { return w.waiting.Load() }
