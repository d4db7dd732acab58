package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// isJournal reports whether w is our connection to the journal.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return toJournal(os.Getenv("JOURNAL_STREAM"), uint64(st.Dev), st.Ino)
}
