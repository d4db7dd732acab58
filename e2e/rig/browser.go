package rig

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// The browsers of the run, one of each; each page has a context of its own.
var (
	Chromium = Browser{Name: "chromium"}
	Firefox  = Browser{Name: "firefox"}
)

// Browser talks to browser/drive.mjs, which says what the commands are.
type Browser struct {
	Name   string
	mu     sync.Mutex // one command at a time
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    chan string // lines; closed at the end
	log    Transcript
	lastID int
}

// launch starts the browser at its first use.
func (b *Browser) launch() error {
	if b.cmd != nil {
		return nil
	}
	b.cmd = exec.Command("node", "drive.mjs", b.Name)
	b.cmd.Dir = browserFile()
	b.cmd.Stderr = &b.log
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	b.in, b.out = in, make(chan string)
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(b.out)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			b.out <- lines.Text()
		}
	}()
	return nil
}

// do sends one command and waits for its answer.
func (b *Browser) do(c command) (answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.launch(); err != nil {
		return answer{}, fmt.Errorf("launch: %w", err)
	}
	b.lastID++
	c.ID = b.lastID
	line, err := json.Marshal(c)
	if err != nil {
		return answer{}, err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("%w\n%s", err, b.log.String())
	}
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-b.out:
			var a answer
			if !ok {
				return a, fmt.Errorf("ended: %s", b.log.String())
			}
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				return a, fmt.Errorf("%w in %q", err, line)
			}
			if a.ID < c.ID {
				continue // late, to a command that was given up
			}
			if a.Error != "" {
				return a, fmt.Errorf("%s", a.Error)
			}
			return a, nil
		case <-deadline:
			return answer{}, fmt.Errorf("no answer to %s", line)
		}
	}
}

// stop ends the browser, if there was one.
func (b *Browser) stop() {
	if b.cmd == nil {
		return
	}
	b.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = b.cmd.Process.Kill() })
	defer kill.Stop()
	for range b.out { // to its end, or Wait would cut it off
	}
	_ = b.cmd.Wait()
}

// Open opens a page in a context of its own, so that pages share no cookies and no cache. It is closed with the test.
func (b *Browser) Open(t testing.TB, url string) *Page {
	t.Helper()
	a, err := b.do(command{Open: url})
	if err != nil {
		t.Fatalf("%s: open %s: %v", b.Name, url, err)
	}
	p := &Page{T: t, Browser: b, id: a.Page}
	t.Cleanup(func() {
		a, err := b.do(command{Page: p.id, Close: true})
		if t.Failed() {
			t.Logf("console of %s (close: %v): %s", url, err, strings.ReplaceAll(string(a.Value), `","`, "\n"))
		}
	})
	return p
}

type command struct {
	ID         int    `json:"id"`
	Open       string `json:"open,omitempty"`
	Page       int    `json:"page,omitempty"`
	Call       string `json:"call,omitempty"`
	Args       []any  `json:"args,omitempty"`
	Reload     bool   `json:"reload,omitempty"`
	Close      bool   `json:"close,omitempty"`
	Screenshot string `json:"screenshot,omitempty"`
}

type answer struct {
	ID    int             `json:"id"`
	Page  int             `json:"page"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}
