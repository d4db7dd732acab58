package rig

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test started, in a process group of its own.
type Process struct {
	Cmd            *exec.Cmd
	Stdout, Stderr Transcript
	Ended          chan struct{} // closed after the process has been waited for
}

// Signal sends one to the process itself, as systemd does.
func (p *Process) Signal(s syscall.Signal) { _ = p.Cmd.Process.Signal(s) }

// Stop ends the whole group, gently first.
func (p *Process) Stop() {
	group := -p.Cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // children that outlived it
	<-p.Ended
}

// Wait returns the exit code, and fails the test when the process has not ended within limit.
func (p *Process) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.Ended:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s has not ended after %v", filepath.Base(p.Cmd.Path), limit)
		return -1
	}
}

// Find waits until one of the streams has text that matches, and returns the submatches.
func (p *Process) Find(t testing.TB, stream *Transcript, limit time.Duration, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	Eventually(t, limit, filepath.Base(p.Cmd.Path)+" says "+pattern, func() (bool, any) {
		found = re.FindStringSubmatch(stream.String())
		if found == nil && p.Over() && re.FindString(stream.String()) == "" {
			t.Fatalf("%s ended with %v and never said %s", filepath.Base(p.Cmd.Path), p.Cmd.ProcessState, pattern)
		}
		return found != nil, "something else"
	})
	return found
}

// Over reports whether the process has ended.
func (p *Process) Over() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// Start runs a program. It is ended with the test, and its output is shown when the test fails.
func Start(t testing.TB, env []string, name string, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(name, args...), Ended: make(chan struct{})}
	p.Cmd.Env = env
	p.Cmd.Stdout, p.Cmd.Stderr = &p.Stdout, &p.Stderr
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.Cmd.WaitDelay = 2 * time.Second
	if err := p.Cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.Ended)
		_ = p.Cmd.Wait() // the state is read from ProcessState
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s %s\n--- stdout\n%s--- stderr\n%s---", filepath.Base(name), strings.Join(args, " "),
				Tail(p.Stdout.String()), Tail(p.Stderr.String()))
		}
	})
	return p
}

// Run executes a program to its end within limit.
func Run(t testing.TB, limit time.Duration, env []string, name string,
	args ...string) (stdout, stderr string, code int) {
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
		t.Fatalf("%s %s: %v, context %v\n%s%s", name, strings.Join(args, " "), err, ctx.Err(), out.String(),
			errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Environment is a clean one: no AWS settings of the person who runs the tests, and no look-ups of instance metadata.
func Environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + os.TempDir(), "TZ=UTC", "LANG=C.UTF-8",
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}, more...)
}
