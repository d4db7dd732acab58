package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kvsagent/kvsagent/config"
)

// loadWithin is how long reading a config may take.
const loadWithin = 10 * time.Second

// configFile reads a config without waiting for ever: the file, or one that it names, may be on a file system that has
// gone, where nothing ends a read.
type configFile struct {
	path    string
	load    func(path string) (*config.Config, string, error)
	reading chan loaded // 1 slot; nil: nobody reads
}

type loaded struct {
	cfg  *config.Config
	hash string
	err  error
}

// read reads the file as it is now. A read of before that still hangs must come back first.
func (f *configFile) read(ctx context.Context) (*config.Config, string, error) {
	timer := time.NewTimer(loadWithin)
	defer timer.Stop()
	for before := f.reading != nil; ; before = false {
		if !before {
			reading := make(chan loaded, 1)
			f.reading = reading
			go func() { // which nobody waits for, should it hang
				cfg, hash, err := f.load(f.path)
				reading <- loaded{cfg, hash, err}
			}()
		}
		select {
		case l := <-f.reading:
			f.reading = nil
			if before {
				continue
			}
			return l.cfg, l.hash, l.err
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-timer.C:
			return nil, "", fmt.Errorf("%s: not read within %v; hint: is its file system there, and those of the "+
				"files that it names?", f.path, loadWithin)
		}
	}
}
