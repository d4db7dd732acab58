package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started, in a process group of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr transcript
	ended          chan struct{} // closed after the process has been waited for
}

// start runs a program. It is ended with the test, and its output is shown when the test fails.
func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 2 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the state is read from ProcessState
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s %s\n--- stdout\n%s--- stderr\n%s---", filepath.Base(name), strings.Join(args, " "), tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// signal sends one to the process itself, as systemd does.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// stop ends the whole group, gently first.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // children that outlived it
	<-p.ended
}

// wait returns the exit code, and fails the test when the process has not ended within limit.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s has not ended after %v", filepath.Base(p.cmd.Path), limit)
		return -1
	}
}

// find waits until one of the streams has text that matches, and returns the submatches.
func (p *process) find(t *testing.T, stream *transcript, limit time.Duration, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(t, limit, filepath.Base(p.cmd.Path)+" says "+pattern, func() (bool, any) {
		found = re.FindStringSubmatch(stream.String())
		if found == nil && p.over() && re.FindString(stream.String()) == "" {
			t.Fatalf("%s ended with %v and never said %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, pattern)
		}
		return found != nil, "something else"
	})
	return found
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// run executes a program to its end within limit.
func run(t *testing.T, limit time.Duration, env []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit) // not the test's: cleanup runs programs too
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s %s: %v, context %v\n%s%s", name, strings.Join(args, " "), err, ctx.Err(), out.String(), errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// environment is a clean one: no AWS settings of the person who runs the tests, and no look-ups of instance metadata.
func environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + os.TempDir(), "TZ=UTC", "LANG=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}, more...)
}

// transcript is what a process has written to one stream so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// lines returns those that contain every one of the words.
func (w *transcript) lines(words ...string) []string {
	var found []string
next:
	for line := range strings.Lines(w.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, strings.TrimSpace(line))
	}
	return found
}

// tail keeps a log readable.
func tail(text string) string {
	const most = 12000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}
