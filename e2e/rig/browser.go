package rig

import (
	"bufio"
	"encoding/json"
	"errors"
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

// Browser talks to browser/drive.mjs, which says what the commands are. Tests that run side by side share it.
type Browser struct {
	Name string

	launched sync.Once
	failed   error // why it was not launched
	cmd      *exec.Cmd
	log      Transcript
	over     chan struct{} // closed when no more answers come

	mu     sync.Mutex // guards the fields below
	in     io.WriteCloser
	lastID int
	asked  map[int]chan answer // who waits, by number of the command
}

// A browser that does not answer has hung. Its first answer comes after it has started, which takes a busy machine a
// while.
const (
	firstAnswer = 2 * time.Minute
	anyAnswer   = time.Minute
)

// launch starts the browser at its first use, and waits until it is ready.
func (b *Browser) launch() {
	b.cmd = exec.Command("node", "drive.mjs", b.Name)
	b.cmd.Dir = browserFile()
	b.cmd.Stderr = &b.log
	b.over, b.asked = make(chan struct{}), map[int]chan answer{}
	var out io.Reader
	if b.in, b.failed = b.cmd.StdinPipe(); b.failed != nil {
		return
	}
	if out, b.failed = b.cmd.StdoutPipe(); b.failed != nil {
		return
	}
	if b.failed = b.cmd.Start(); b.failed != nil {
		return
	}
	go b.listen(out)
	_, b.failed = b.ask(command{}, firstAnswer)
}

// listen hands the answers to those who wait for them.
func (b *Browser) listen(out io.Reader) {
	defer close(b.over)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			fmt.Fprintf(&b.log, "%v in %q\n", err, lines.Text())
			continue
		}
		b.mu.Lock()
		waiting := b.asked[a.ID]
		delete(b.asked, a.ID)
		b.mu.Unlock()
		if waiting != nil {
			waiting <- a
		}
	}
}

// do sends one command and waits for its answer.
func (b *Browser) do(c command) (answer, error) {
	b.launched.Do(b.launch)
	if b.failed != nil {
		return answer{}, fmt.Errorf("launch: %w", b.failed)
	}
	a, err := b.ask(c, anyAnswer)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func (b *Browser) ask(c command, limit time.Duration) (answer, error) {
	wait := make(chan answer, 1)
	line, err := b.send(c, wait)
	if err != nil {
		return answer{}, fmt.Errorf("%w\n%s", err, b.log.String())
	}
	hung := time.NewTimer(limit)
	defer hung.Stop()
	select {
	case a := <-wait:
		return a, nil
	case <-b.over:
		return answer{}, fmt.Errorf("ended: %s", b.log.String())
	case <-hung.C:
		return answer{}, fmt.Errorf("no answer to %s\n%s", line, b.log.String())
	}
}

func (b *Browser) send(c command, wait chan answer) (line []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	c.ID = b.lastID
	if line, err = json.Marshal(c); err != nil {
		return nil, err
	}
	b.asked[c.ID] = wait
	_, err = b.in.Write(append(line, '\n'))
	return line, err
}

// stop ends the browser, if there was one.
func (b *Browser) stop() {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	b.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = b.cmd.Process.Kill() })
	defer kill.Stop()
	<-b.over // or Wait would cut it off
	_ = b.cmd.Wait()
}

// Open opens a page in a context of its own, so that pages share no cookies and no cache. It is closed with the test.
func (b *Browser) Open(t testing.TB, url string) *Page {
	t.Helper()
	a, err := b.do(command{Open: url})
	if err != nil && strings.Contains(err.Error(), "DiscardedBrowsingContext") {
		a, err = b.do(command{Open: url}) // Firefox mixes it up with one that another test closes
	}
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
