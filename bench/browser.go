package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The browsers that can be viewers.
const (
	Chromium = "chromium"
	Firefox  = "firefox"
)

// browser is a real browser, driven by e2e/browser/drive.mjs, which says what the commands are. Calls are made one at a
// time.
type browser struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    chan string // lines; closed at the end
	log    complaints
	lastID int
}

// complaints keep the begin of what a program writes to standard error.
type complaints struct {
	mu   sync.Mutex // guards text
	text []byte
}

// Write implements io.Writer.
func (c *complaints) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, b[:min(len(b), max(0, maxStderr-len(c.text)))]...)
	return len(b), nil
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// startBrowser starts a browser. It dies with us.
func startBrowser(root, name string) (*browser, error) {
	b := &browser{cmd: exec.Command("node", "drive.mjs", name), out: make(chan string)}
	b.cmd.Dir = filepath.Join(root, "e2e", "browser")
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	b.cmd.Stderr = &b.log
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	b.in = in
	go func() {
		defer close(b.out)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			b.out <- lines.Text()
		}
	}()
	return b, nil
}

// browserCommand is one line for drive.mjs.
type browserCommand struct {
	ID    int    `json:"id"`
	Open  string `json:"open,omitempty"`
	Page  int    `json:"page,omitempty"`
	Call  string `json:"call,omitempty"`
	Args  []any  `json:"args,omitempty"`
	Close bool   `json:"close,omitempty"`
}

// browserAnswer is the line that answers it.
type browserAnswer struct {
	ID    int             `json:"id"`
	Page  int             `json:"page"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

const browserAnswers = 90 * time.Second

// do sends one command and waits for its answer.
func (b *browser) do(ctx context.Context, c browserCommand) (browserAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, browserAnswers)
	defer cancel()
	b.lastID++
	c.ID = b.lastID
	line, err := json.Marshal(c)
	if err != nil {
		return browserAnswer{}, err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return browserAnswer{}, fmt.Errorf("browser: %w\n%s", err, b.log.String())
	}
	for {
		select {
		case line, ok := <-b.out:
			var a browserAnswer
			if !ok {
				return a, fmt.Errorf("browser ended: %s; hint: make provision installs what it needs", b.log.String())
			}
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				return a, fmt.Errorf("browser: %w in %q", err, line)
			}
			if a.ID < c.ID {
				continue // the late answer to a command that was given up
			}
			if a.Error != "" {
				return a, errors.New("browser: " + a.Error)
			}
			return a, nil
		case <-ctx.Done():
			return browserAnswer{}, fmt.Errorf("browser: no answer to %s: %w", line, ctx.Err())
		}
	}
}

// call runs window.fn(args...) in a page and puts what it resolves to into out, unless that is nil.
func (b *browser) call(ctx context.Context, page int, out any, fn string, args ...any) error {
	a, err := b.do(ctx, browserCommand{Page: page, Call: fn, Args: args})
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(a.Value, out); err != nil {
		return fmt.Errorf("browser: %s: %w in %s", fn, err, a.Value)
	}
	return nil
}

// stop ends the browser and waits for it.
func (b *browser) stop() {
	b.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = b.cmd.Process.Kill() })
	defer kill.Stop()
	for range b.out { // to its end, or Wait would cut it off
	}
	_ = b.cmd.Wait()
}
