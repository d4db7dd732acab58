package e2e

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
	chromium = browser{name: "chromium"}
	firefox  = browser{name: "firefox"}
)

// browser talks to browser/drive.mjs, which says what the commands are.
type browser struct {
	name   string
	mu     sync.Mutex // one command at a time
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    chan string // lines; closed at the end
	log    transcript
	lastID int
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

// launch starts the browser at its first use.
func (b *browser) launch() error {
	if b.cmd != nil {
		return nil
	}
	b.cmd = exec.Command("node", "drive.mjs", b.name)
	b.cmd.Dir = "browser"
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
func (b *browser) do(c command) (answer, error) {
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
func (b *browser) stop() {
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

// page is one page in the browser, closed with its test.
type page struct {
	t       *testing.T
	browser *browser
	id      int
	joined  func() // takes part in a channel, as the page did when it was new
}

// openPage opens one in Chromium.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	return chromium.open(t, url)
}

func (b *browser) open(t *testing.T, url string) *page {
	t.Helper()
	a, err := b.do(command{Open: url})
	if err != nil {
		t.Fatalf("%s: open %s: %v", b.name, url, err)
	}
	p := &page{t: t, browser: b, id: a.Page}
	t.Cleanup(func() {
		a, err := b.do(command{Page: p.id, Close: true})
		if t.Failed() {
			t.Logf("console of %s (close: %v): %s", url, err, strings.ReplaceAll(string(a.Value), `","`, "\n"))
		}
	})
	return p
}

// call runs window.fn(args...) and puts what it resolves to into out, unless that is nil.
func (p *page) call(out any, fn string, args ...any) {
	p.t.Helper()
	a, err := p.browser.do(command{Page: p.id, Call: fn, Args: args})
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.browser.name, fn, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(a.Value, out); err != nil {
		p.t.Fatalf("%s: %s: %v in %s", p.browser.name, fn, err, a.Value)
	}
}

// stats is what browser/watch.js counts.
type stats struct {
	Now         float64  `json:"now"` // milliseconds since the page began
	Connections []string `json:"connections"`
	Video       struct {
		Codec     string `json:"codec"`
		Frames    int    `json:"frames"`   // decoded
		Received  int    `json:"received"` // whole, decoded or not
		KeyFrames int    `json:"key_frames"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
		Lost      int    `json:"lost"`
		Dropped   int    `json:"dropped"` // whole and not decoded
		Freezes   int    `json:"freezes"` // as the browser counts them
		PLIs      int    `json:"plis"`    // key frames asked for
		NACKs     int    `json:"nacks"`   // packets asked for again
	} `json:"video"`
	Audio struct {
		Codec   string  `json:"codec"`
		Packets int     `json:"packets"`
		Lost    int     `json:"lost"`
		Energy  float64 `json:"energy"`
	} `json:"audio"`
	Pairs []string `json:"pairs"`
}

func (p *page) stats() (s stats) {
	p.t.Helper()
	p.call(&s, "stats")
	return s
}

// plays waits until so many more frames were decoded, of the size and codec, and audio is heard.
func (p *page) plays(frames, width, height int, audioCodec string) stats {
	p.t.Helper()
	first := p.stats()
	var now stats
	eventually(p.t, 30*time.Second, fmt.Sprintf("%d frames of %dx%d decoded and %s heard", frames, width, height, audioCodec), func() (bool, any) {
		now = p.stats()
		return now.Video.Frames >= first.Video.Frames+frames && now.Video.Width == width && now.Video.Height == height &&
			now.Audio.Packets >= first.Audio.Packets+frames/2 && strings.EqualFold(now.Audio.Codec, audioCodec) && now.Audio.Energy > 0, now
	})
	return now
}

// moves waits until so many more frames were decoded, of any size, and sound arrives.
func (p *page) moves(frames int) stats {
	p.t.Helper()
	first := p.stats()
	var now stats
	eventually(p.t, 30*time.Second, fmt.Sprintf("%d frames decoded and sound", frames), func() (bool, any) {
		now = p.stats()
		return now.Video.Frames >= first.Video.Frames+frames && now.Video.Width > 0 && now.Audio.Packets >= first.Audio.Packets+frames/2, now
	})
	return now
}
