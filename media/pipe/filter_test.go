package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media/pipe"
)

var discard = slog.New(slog.DiscardHandler)

func TestFilter(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than a pipe holds
	for _, tt := range []struct {
		name string
		args []string
		in   []byte
		want []byte
		err  string
	}{
		{"as it is", []string{"cat"}, long, long, ""},
		{"nothing", []string{"cat"}, nil, nil, ""},
		{"reads the beginning alone", []string{"head", "-c", "4"}, long, []byte("0123"), ""},
		{"too much", []string{"sh", "-c", "yes"}, nil, nil, "wrote more than 1048576 bytes"},
		{"fails", []string{"sh", "-c", "cat >/dev/null; echo no picture in it >&2; exit 3"}, long, nil,
			"exit status 3: no picture in it"},
		{"not there", []string{"no-such-program"}, nil, nil, "install it"},
		{"no command", nil, nil, nil, "no command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pipe.Filter(t.Context(), tt.args, tt.in, 1<<20, discard)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, want %d", len(got), len(tt.want))
			}
			if tt.name == "not there" && !errors.Is(err, pipe.ErrNotFound) {
				t.Errorf("%v is no ErrNotFound", err)
			}
		})
	}
}

// After the timeout nothing is left of the command or of what it has started.
func TestFilterEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := pipe.Filter(ctx, []string{"sh", "-c", "sleep 100 & echo $! >" + file + "; wait"}, make([]byte, 1<<20),
		1<<20, discard)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	for _, pid := range await(t, file, 1) {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}
