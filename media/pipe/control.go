package pipe

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// controlled is a source whose command makes key frames on request.
type controlled struct{ *Source }

var _ media.KeyFramer = controlled{}

// RequestKeyFrame implements media.KeyFramer: it writes one line to the control pipe. Requests are lost when the
// command does not read them.
func (c controlled) RequestKeyFrame() { c.control.wish() }

// control is the writing end of the pipe to the running command.
type control struct {
	mu sync.Mutex // guards the field below
	w  *os.File   // nil while no command runs
}

// open makes a pipe for a command that is about to run, and returns the command's end; nil when it takes no requests.
// Call shut when the command has ended.
func (c *control) open() (wishes *os.File, shut func(), err error) {
	if c == nil {
		return nil, func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("control pipe: %w", err)
	}
	c.mu.Lock()
	c.w = w
	c.mu.Unlock()
	return r, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.w.Close()
		c.w = nil
	}, nil
}

func (c *control) wish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.w == nil {
		return
	}
	if c.w.SetWriteDeadline(time.Now().Add(time.Millisecond)) == nil { // do not wait longer for a full pipe
		_, _ = c.w.WriteString("keyframe\n")
	}
}
