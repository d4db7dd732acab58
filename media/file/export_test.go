package file

import (
	"errors"
	"io"
	"os"
)

// Walk reads a file from its beginning to its end twice, without waiting, and returns what ended it; nil is the end of
// the file.
func Walk(f *os.File) error {
	s := &Source{}
	c, err := s.open(f)
	if err != nil {
		return err
	}
	for range 2 {
		for {
			if _, err := c.next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
		}
		if err := c.rewind(); err != nil {
			return err
		}
	}
	return nil
}
