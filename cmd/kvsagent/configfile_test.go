package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/config"
)

// TestConfigOnAFileSystemThatHangs: a read that does not come back is an error after a while, and nothing when the
// agent is to end. What it brings at last is stale, and not taken for the file as it is now.
func TestConfigOnAFileSystemThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, back := 0, make(chan struct{})
		f := &configFile{path: "kvsagent.yaml", load: func(string) (*config.Config, string, error) {
			reads++
			if reads == 1 {
				<-back
				return nil, "stale", nil
			}
			return nil, "fresh", nil
		}}
		began := time.Now()
		if _, _, err := f.read(t.Context()); err == nil || !strings.Contains(err.Error(), "file system") ||
			time.Since(began) != loadWithin {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		if _, _, err := f.read(ctx); !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("when the agent is to end: %v after %v", err, time.Since(began))
		}
		close(back)
		if _, hash, err := f.read(t.Context()); hash != "fresh" || err != nil {
			t.Errorf("the file is %q, %v", hash, err)
		}
	})
}
